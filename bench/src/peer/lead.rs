//! A lead as the guide of cqrs-es would write it, with the commands that the load uses.

use cqrs_es::event_sink::EventSink;
use cqrs_es::{Aggregate, DomainEvent};
use serde::{Deserialize, Serialize};

/// The same fields as in our lead.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Details {
    pub name: String,
    pub company: Option<String>,
    pub title: Option<String>,
    pub email: Option<String>,
    pub phone: Option<String>,
    pub country: Option<String>,
    pub address: Option<kernel::PostalAddress>,
    pub source: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    #[default]
    Unknown,
    New,
    Assigned,
    InProcess,
    Qualified,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Lead {
    details: Details,
    owner: Option<String>,
    status: Status,
}

#[expect(clippy::large_enum_variant, reason = "as one writes it with cqrs-es")]
#[derive(Debug)]
pub enum Command {
    Capture(Details),
    Assign { owner: String },
    StartWork,
    Qualify { note: Option<String> },
}

#[expect(clippy::large_enum_variant, reason = "as one writes it with cqrs-es")]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Event {
    Captured { details: Details },
    Assigned { owner: String },
    WorkStarted,
    Qualified { note: Option<String> },
}

impl DomainEvent for Event {
    fn event_type(&self) -> String {
        match self {
            Self::Captured { .. } => "LeadCaptured",
            Self::Assigned { .. } => "LeadAssigned",
            Self::WorkStarted => "LeadWorkStarted",
            Self::Qualified { .. } => "LeadQualified",
        }
        .to_owned()
    }

    fn event_version(&self) -> String {
        "1".to_owned()
    }
}

/// A refused step: not allowed in the lead's status.
#[derive(Debug)]
pub struct NotAllowed(Status);

impl std::fmt::Display for NotAllowed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "not allowed while the lead is {:?}", self.0)
    }
}

impl std::error::Error for NotAllowed {}

impl Aggregate for Lead {
    const TYPE: &'static str = "lead";
    type Command = Command;
    type Event = Event;
    type Error = NotAllowed;
    type Services = ();

    async fn handle(&mut self, command: Command, (): &(), sink: &EventSink<Self>) -> Result<(), NotAllowed> {
        let event = match (command, &self.status) {
            (Command::Capture(details), Status::Unknown) => Event::Captured { details },
            (Command::Assign { owner }, Status::New | Status::Assigned) => Event::Assigned { owner },
            (Command::StartWork, Status::Assigned) => Event::WorkStarted,
            (Command::Qualify { note }, Status::InProcess) => Event::Qualified { note },
            (_, status) => return Err(NotAllowed(status.clone())),
        };
        sink.write(event, self).await;
        Ok(())
    }

    fn apply(&mut self, event: Event) {
        match event {
            Event::Captured { details } => {
                self.details = details;
                self.status = Status::New;
            }
            Event::Assigned { owner } => {
                self.owner = Some(owner);
                self.status = Status::Assigned;
            }
            Event::WorkStarted => self.status = Status::InProcess,
            Event::Qualified { .. } => self.status = Status::Qualified,
        }
    }
}

#[cfg(test)]
mod tests {
    use cqrs_es::test::TestFramework;

    use super::*;

    #[test]
    fn a_lead_goes_through_its_life() {
        TestFramework::<Lead>::with(())
            .given(vec![
                Event::Captured { details: Details::default() },
                Event::Assigned { owner: "rep".into() },
                Event::WorkStarted,
            ])
            .when(Command::Qualify { note: None })
            .then_expect_events(vec![Event::Qualified { note: None }]);
    }

    #[test]
    fn a_step_too_early_is_refused() {
        TestFramework::<Lead>::with(())
            .given(vec![Event::Captured { details: Details::default() }])
            .when(Command::StartWork)
            .then_expect_error_message("not allowed while the lead is New");
    }
}
