//! The life of a lead: what it decides, and what its events make of it.

use chrono::{DateTime, Utc};
use kernel::{Aggregate, Personal, Refusal};
use serde::{Deserialize, Serialize};

use super::step::LeadStep;
use crate::{
    DisqualifyReason, ErasureReason, ImportId, LeadAssigned, LeadCaptured, LeadConverted, LeadDetails,
    LeadDetailsChanged, LeadDisqualified, LeadErased, LeadEscalated, LeadEscalationWithdrawn, LeadEvent, LeadQualified,
    LeadRecycled, LeadRestored, LeadSource, LeadStatus, LeadWithdrawn, LeadWorkStarted,
};

/// A lead as its history has made it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Lead {
    /// Where it stands.
    pub status: LeadStatus,
    /// Who it is.
    pub details: LeadDetails,
    /// Where it came from.
    pub source: LeadSource,
    /// The user who works on it.
    pub owner: Option<String>,
    /// What became of it, once it is converted.
    pub conversion: Option<LeadConverted>,
    /// Why it was sent back, as long as it is.
    #[serde(default)]
    pub recycled: Option<LeadRecycled>,
    /// Why it will not buy, as long as it is given up.
    #[serde(default)]
    pub disqualified: Option<LeadDisqualified>,
    /// Who was told that nobody touches it.
    #[serde(default)]
    pub escalated_to: Option<String>,
    /// The import that brought it.
    #[serde(default)]
    pub import: Option<ImportId>,
    /// Whether anything was done with it since it came in.
    #[serde(default)]
    pub touched: bool,
}

/// What can be asked of a lead. Values have been checked for form.
#[derive(Clone, Debug, PartialEq)]
pub enum LeadCommand {
    Capture(LeadCaptured),
    ChangeDetails { details: LeadDetails },
    Assign { owner: String },
    StartWork,
    Qualify { note: Option<Personal<String>> },
    Convert(LeadConverted),
    Recycle { reason: Personal<String> },
    Disqualify { reason: DisqualifyReason, note: Option<Personal<String>> },
    Escalate { to: String, untouched_since: DateTime<Utc> },
    WithdrawEscalation,
    Withdraw { import: ImportId },
    Restore,
    Erase { reason: ErasureReason },
}

/// Why a lead says no.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeadError {
    /// The step does not follow on where the lead stands.
    #[error("a lead that is {} can't take the step {}; allowed: {}", .status.as_str(), .step.as_str(), list(*.status))]
    StepNotAllowed { step: LeadStep, status: LeadStatus },
    /// Only a qualified lead waits for somebody.
    #[error("a lead that is {} is not escalated; allowed: qualified", .status.as_str())]
    NotEscalated { status: LeadStatus },
    /// Somebody works with it, or it came another way.
    #[error("only a lead that its import brought and nobody touched since can be withdrawn")]
    NotWithdrawn,
}

fn list(status: LeadStatus) -> String {
    match status.allowed() {
        [] => "none".to_owned(),
        steps => steps.iter().map(|step| step.as_str()).collect::<Vec<_>>().join(", "),
    }
}

impl From<LeadError> for Refusal {
    fn from(error: LeadError) -> Self {
        match error {
            LeadError::StepNotAllowed { step, status } => Self::conflict("lead_step_not_allowed", error.to_string())
                .with("step", step.as_str())
                .with("state", status.as_str())
                .with("allowed", status.allowed().iter().map(|step| step.as_str()).collect::<Vec<_>>()),
            LeadError::NotEscalated { status } => {
                Self::conflict("lead_not_qualified", error.to_string()).with("state", status.as_str())
            }
            LeadError::NotWithdrawn => Self::conflict("lead_touched", error.to_string()),
        }
    }
}

impl Lead {
    /// Why it is given up or sent back, if it is and that is known.
    pub fn reason(&self) -> Option<&str> {
        let recycled = self.recycled.as_ref().and_then(|recycled| recycled.reason.known()).map(String::as_str);
        recycled.or_else(|| self.disqualified.as_ref().map(|disqualified| disqualified.reason.as_str()))
    }

    /// What was noted when it was given up, if it is and that is known.
    pub fn note(&self) -> Option<&str> {
        self.disqualified.as_ref()?.note.as_ref()?.known().map(String::as_str)
    }

    fn may(&self, step: LeadStep) -> Result<(), LeadError> {
        if self.status.allowed().contains(&step) {
            return Ok(());
        }
        Err(LeadError::StepNotAllowed { step, status: self.status })
    }
}

impl Aggregate for Lead {
    const TYPE: &'static str = "crm.lead";
    const FORM: u32 = 3;
    const SEALED: bool = true;
    type Command = LeadCommand;
    type Event = LeadEvent;
    type Error = LeadError;

    fn decide(&self, command: LeadCommand) -> Result<Vec<LeadEvent>, LeadError> {
        Ok(match command {
            LeadCommand::Capture(captured) => vec![captured.into()],
            LeadCommand::ChangeDetails { details } => {
                self.may(LeadStep::ChangeDetails)?;
                if details == self.details { vec![] } else { vec![LeadDetailsChanged { details }.into()] }
            }
            LeadCommand::Assign { owner } => {
                self.may(LeadStep::Assign)?;
                let nothing_new = self.owner.as_ref() == Some(&owner) && self.status == self.status.once_assigned();
                if nothing_new { vec![] } else { vec![LeadAssigned { owner }.into()] }
            }
            LeadCommand::StartWork => {
                self.may(LeadStep::StartWork)?;
                vec![LeadWorkStarted {}.into()]
            }
            LeadCommand::Qualify { note } => {
                self.may(LeadStep::Qualify)?;
                vec![LeadQualified { note }.into()]
            }
            LeadCommand::Convert(converted) => {
                self.may(LeadStep::Convert)?;
                vec![converted.into()]
            }
            LeadCommand::Recycle { reason } => {
                self.may(LeadStep::Recycle)?;
                vec![LeadRecycled { reason }.into()]
            }
            LeadCommand::Disqualify { reason, note } => {
                self.may(LeadStep::Disqualify)?;
                vec![LeadDisqualified { reason, note }.into()]
            }
            LeadCommand::Escalate { .. } if self.status != LeadStatus::Qualified => {
                return Err(LeadError::NotEscalated { status: self.status });
            }
            LeadCommand::Escalate { to, .. } if self.escalated_to.as_ref() == Some(&to) => vec![],
            LeadCommand::Escalate { to, untouched_since } => vec![LeadEscalated { to, untouched_since }.into()],
            LeadCommand::WithdrawEscalation if self.escalated_to.is_none() => vec![],
            LeadCommand::WithdrawEscalation => vec![LeadEscalationWithdrawn {}.into()],
            LeadCommand::Withdraw { .. } if self.status == LeadStatus::Withdrawn => vec![],
            LeadCommand::Withdraw { import } if self.import != Some(import) || self.touched => {
                return Err(LeadError::NotWithdrawn);
            }
            LeadCommand::Withdraw { import } => vec![LeadWithdrawn { import }.into()],
            LeadCommand::Restore if self.status == LeadStatus::Withdrawn => vec![LeadRestored {}.into()],
            LeadCommand::Restore => vec![],
            // Whoever they were has a right to it wherever the lead stands: it is no step of its life.
            LeadCommand::Erase { .. } if self.status == LeadStatus::Erased => vec![],
            LeadCommand::Erase { reason } => vec![LeadErased { reason }.into()],
        })
    }

    fn evolve(&mut self, event: LeadEvent) {
        self.touched |=
            !matches!(event, LeadEvent::LeadCaptured(_) | LeadEvent::LeadWithdrawn(_) | LeadEvent::LeadRestored(_));
        match event {
            LeadEvent::LeadCaptured(captured) => {
                self.details = captured.details;
                self.source = captured.source;
                self.import = captured.import;
                self.status = LeadStatus::untouched(captured.owner.is_some());
                self.owner = captured.owner;
            }
            LeadEvent::LeadDetailsChanged(changed) => self.details = changed.details,
            LeadEvent::LeadAssigned(assigned) => {
                self.owner = Some(assigned.owner);
                self.status = self.status.once_assigned();
            }
            LeadEvent::LeadWorkStarted(_) => self.status = LeadStatus::InProcess,
            LeadEvent::LeadQualified(_) => self.status = LeadStatus::Qualified,
            LeadEvent::LeadConverted(converted) => {
                self.status = LeadStatus::Converted;
                self.conversion = Some(converted);
            }
            LeadEvent::LeadRecycled(recycled) => {
                self.status = LeadStatus::Recycled;
                self.recycled = Some(recycled);
            }
            LeadEvent::LeadDisqualified(disqualified) => {
                self.status = LeadStatus::Disqualified;
                self.disqualified = Some(disqualified);
            }
            LeadEvent::LeadEscalated(escalated) => self.escalated_to = Some(escalated.to),
            LeadEvent::LeadEscalationWithdrawn(_) => self.escalated_to = None,
            LeadEvent::LeadWithdrawn(_) => self.status = LeadStatus::Withdrawn,
            LeadEvent::LeadRestored(_) => self.status = LeadStatus::untouched(self.owner.is_some()),
            LeadEvent::LeadErased(_) => {
                self.status = LeadStatus::Erased;
                self.details = LeadDetails::default();
                self.escalated_to = None;
            }
        }
        // A reason is that of the present status.
        if self.status != LeadStatus::Recycled {
            self.recycled = None;
        }
        if self.status != LeadStatus::Disqualified {
            self.disqualified = None;
        }
    }
}

kernel::aggregate!(Lead);

#[cfg(test)]
mod tests {
    use cqrs_es::test::TestFramework;

    use super::*;
    use crate::{AccountId, ContactId};

    fn captured(owner: Option<&str>) -> LeadCaptured {
        LeadCaptured {
            details: LeadDetails { name: "Ada Lovelace".to_owned().into(), ..LeadDetails::default() },
            source: LeadSource::Event,
            owner: owner.map(str::to_owned),
            import: None,
        }
    }

    fn import() -> ImportId {
        ImportId::new(uuid::Uuid::from_u128(3))
    }

    fn imported(owner: Option<&str>) -> LeadCaptured {
        LeadCaptured { import: Some(import()), ..captured(owner) }
    }

    fn erased() -> LeadErased {
        LeadErased { reason: ErasureReason::Requested }
    }

    fn converted() -> LeadConverted {
        LeadConverted {
            account: AccountId::new(uuid::Uuid::from_u128(1)),
            contact: ContactId::new(uuid::Uuid::from_u128(2)),
            opportunity: None,
        }
    }

    /// A history that ends in `status`.
    fn lead_that_is(status: LeadStatus) -> Vec<LeadEvent> {
        let assigned: Vec<LeadEvent> = vec![captured(Some("ada")).into()];
        let and = |mut history: Vec<LeadEvent>, event: LeadEvent| {
            history.push(event);
            history
        };
        match status {
            LeadStatus::New => vec![captured(None).into()],
            LeadStatus::Assigned => assigned,
            LeadStatus::InProcess => and(assigned, LeadWorkStarted {}.into()),
            LeadStatus::Qualified => and(lead_that_is(LeadStatus::InProcess), LeadQualified { note: None }.into()),
            LeadStatus::Converted => and(lead_that_is(LeadStatus::Qualified), converted().into()),
            LeadStatus::Recycled => and(assigned, LeadRecycled { reason: "not now".to_owned().into() }.into()),
            LeadStatus::Disqualified => {
                and(assigned, LeadDisqualified { reason: DisqualifyReason::NoNeed, note: None }.into())
            }
            LeadStatus::Withdrawn => vec![imported(None).into(), LeadWithdrawn { import: import() }.into()],
            LeadStatus::Erased => and(lead_that_is(LeadStatus::Converted), erased().into()),
        }
    }

    fn every_step() -> Vec<(LeadStep, LeadCommand, LeadEvent)> {
        let details = LeadDetails { name: "Grace Hopper".to_owned().into(), ..LeadDetails::default() };
        let reason = Personal::from("no budget this year".to_owned());
        vec![
            (
                LeadStep::ChangeDetails,
                LeadCommand::ChangeDetails { details: details.clone() },
                LeadDetailsChanged { details }.into(),
            ),
            (
                LeadStep::Assign,
                LeadCommand::Assign { owner: "grace".to_owned() },
                LeadAssigned { owner: "grace".to_owned() }.into(),
            ),
            (LeadStep::StartWork, LeadCommand::StartWork, LeadWorkStarted {}.into()),
            (LeadStep::Qualify, LeadCommand::Qualify { note: None }, LeadQualified { note: None }.into()),
            (LeadStep::Convert, LeadCommand::Convert(converted()), converted().into()),
            (LeadStep::Recycle, LeadCommand::Recycle { reason: reason.clone() }, LeadRecycled { reason }.into()),
            (
                LeadStep::Disqualify,
                LeadCommand::Disqualify { reason: DisqualifyReason::Spam, note: None },
                LeadDisqualified { reason: DisqualifyReason::Spam, note: None }.into(),
            ),
        ]
    }

    const EVERY_STATUS: [LeadStatus; 9] = [
        LeadStatus::New,
        LeadStatus::Assigned,
        LeadStatus::InProcess,
        LeadStatus::Qualified,
        LeadStatus::Converted,
        LeadStatus::Recycled,
        LeadStatus::Disqualified,
        LeadStatus::Withdrawn,
        LeadStatus::Erased,
    ];

    #[test]
    fn each_status_allows_exactly_its_steps() {
        use LeadStep::{Assign, ChangeDetails, Convert, Disqualify, Qualify, Recycle, StartWork};
        let expected = |status| match status {
            LeadStatus::New | LeadStatus::Recycled => vec![ChangeDetails, Assign, Disqualify],
            LeadStatus::Assigned => vec![ChangeDetails, Assign, StartWork, Recycle, Disqualify],
            LeadStatus::InProcess => vec![ChangeDetails, Assign, Qualify, Recycle, Disqualify],
            LeadStatus::Qualified => vec![ChangeDetails, Assign, Convert, Recycle, Disqualify],
            LeadStatus::Converted | LeadStatus::Disqualified | LeadStatus::Withdrawn | LeadStatus::Erased => vec![],
        };
        for status in EVERY_STATUS {
            for (step, command, event) in every_step() {
                let result = TestFramework::<Lead>::with(()).given(lead_that_is(status)).when(command);
                if expected(status).contains(&step) {
                    result.then_expect_events(vec![event]);
                } else {
                    result.then_expect_error(LeadError::StepNotAllowed { step, status });
                }
            }
        }
    }

    #[test]
    fn a_lead_captured_with_an_owner_is_assigned() {
        TestFramework::<Lead>::with(())
            .given_no_previous_events()
            .when(LeadCommand::Capture(captured(Some("ada"))))
            .then_expect_events(vec![captured(Some("ada")).into()]);
        let mut lead = Lead::default();
        lead.evolve(captured(Some("ada")).into());
        assert_eq!((lead.status, lead.owner.as_deref()), (LeadStatus::Assigned, Some("ada")));
    }

    #[test]
    fn reassigning_keeps_the_work_that_was_begun() {
        let mut lead = Lead::default();
        for event in lead_that_is(LeadStatus::InProcess) {
            lead.evolve(event);
        }
        lead.evolve(LeadAssigned { owner: "grace".to_owned() }.into());
        assert_eq!((lead.status, lead.owner.as_deref()), (LeadStatus::InProcess, Some("grace")));
    }

    #[test]
    fn a_recycled_lead_can_go_back_to_its_owner() {
        TestFramework::<Lead>::with(())
            .given(lead_that_is(LeadStatus::Recycled))
            .when(LeadCommand::Assign { owner: "ada".to_owned() })
            .then_expect_events(vec![LeadAssigned { owner: "ada".to_owned() }.into()]);
    }

    #[test]
    fn what_changes_nothing_is_no_event() {
        for command in [
            LeadCommand::Assign { owner: "ada".to_owned() },
            LeadCommand::ChangeDetails { details: captured(None).details },
        ] {
            TestFramework::<Lead>::with(())
                .given(lead_that_is(LeadStatus::Qualified))
                .when(command)
                .then_expect_events(vec![]);
        }
    }

    #[test]
    fn only_a_qualified_lead_is_escalated_and_that_once() {
        let escalate = || LeadCommand::Escalate { to: "grace".to_owned(), untouched_since: DateTime::UNIX_EPOCH };
        let escalated =
            || LeadEvent::from(LeadEscalated { to: "grace".to_owned(), untouched_since: DateTime::UNIX_EPOCH });
        for status in EVERY_STATUS {
            let result = TestFramework::<Lead>::with(()).given(lead_that_is(status)).when(escalate());
            if status == LeadStatus::Qualified {
                result.then_expect_events(vec![escalated()]);
            } else {
                result.then_expect_error(LeadError::NotEscalated { status });
            }
        }
        let mut history = lead_that_is(LeadStatus::Qualified);
        history.push(escalated());
        TestFramework::<Lead>::with(()).given(history.clone()).when(escalate()).then_expect_events(vec![]);
        TestFramework::<Lead>::with(())
            .given(history)
            .when(LeadCommand::WithdrawEscalation)
            .then_expect_events(vec![LeadEscalationWithdrawn {}.into()]);
    }

    #[test]
    fn a_lead_is_withdrawn_only_with_its_own_import_and_untouched() {
        let withdraw = || LeadCommand::Withdraw { import: import() };
        let untouched = || TestFramework::<Lead>::with(()).given(vec![imported(Some("ada")).into()]);
        untouched().when(withdraw()).then_expect_events(vec![LeadWithdrawn { import: import() }.into()]);
        let other = ImportId::new(uuid::Uuid::from_u128(4));
        untouched().when(LeadCommand::Withdraw { import: other }).then_expect_error(LeadError::NotWithdrawn);
        TestFramework::<Lead>::with(())
            .given(vec![imported(Some("ada")).into(), LeadWorkStarted {}.into()])
            .when(withdraw())
            .then_expect_error(LeadError::NotWithdrawn);
    }

    #[test]
    fn a_restored_lead_is_as_it_came_in() {
        for owner in [None, Some("ada")] {
            let mut lead = Lead::default();
            lead.evolve(imported(owner).into());
            let before = lead.clone();
            lead.evolve(LeadWithdrawn { import: import() }.into());
            assert_eq!(lead.status, LeadStatus::Withdrawn);
            lead.evolve(LeadRestored {}.into());
            assert_eq!(lead, before);
        }
    }

    #[test]
    fn a_lead_is_erased_wherever_it_stands_and_that_once() {
        let erase = || LeadCommand::Erase { reason: ErasureReason::Requested };
        for status in EVERY_STATUS {
            let events = if status == LeadStatus::Erased { vec![] } else { vec![erased().into()] };
            TestFramework::<Lead>::with(()).given(lead_that_is(status)).when(erase()).then_expect_events(events);
        }
    }

    #[test]
    fn why_a_lead_was_given_up_or_sent_back_is_known_as_long_as_it_is() {
        let after = |events: Vec<LeadEvent>| {
            let mut lead = Lead::default();
            events.into_iter().for_each(|event| lead.evolve(event));
            (lead.reason().map(str::to_owned), lead.note().map(str::to_owned))
        };
        let and = |status, event: LeadEvent| [lead_that_is(status), vec![event]].concat();
        let said = |text: &str| Some(text.to_owned());
        assert_eq!(after(lead_that_is(LeadStatus::Recycled)), (said("not now"), None));
        assert_eq!(after(and(LeadStatus::Recycled, LeadAssigned { owner: "ada".to_owned() }.into())), (None, None));
        let details = LeadDetails { name: "Grace Hopper".to_owned().into(), ..LeadDetails::default() };
        assert_eq!(after(and(LeadStatus::Recycled, LeadDetailsChanged { details }.into())), (said("not now"), None));
        let note = Some(Personal::from("has one".to_owned()));
        let given_up = LeadDisqualified { reason: DisqualifyReason::NoNeed, note };
        assert_eq!(after(and(LeadStatus::Recycled, given_up.into())), (said("no_need"), said("has one")));
        for status in [LeadStatus::Recycled, LeadStatus::Disqualified] {
            assert_eq!(after(and(status, erased().into())), (None, None), "{status:?}: it would tell who they were");
        }
    }

    #[test]
    fn who_is_erased_is_known_by_what_became_of_them_only() {
        let mut lead = Lead::default();
        for event in lead_that_is(LeadStatus::Erased) {
            lead.evolve(event);
        }
        assert_eq!((&lead.details, lead.status), (&LeadDetails::default(), LeadStatus::Erased));
        assert_eq!(lead.conversion, Some(converted()), "the contact that is the same person");
        assert_eq!(lead.owner.as_deref(), Some("ada"));
    }

    #[test]
    fn a_lead_that_is_erased_goes_neither_with_its_import_nor_comes_back_with_it() {
        let given = || TestFramework::<Lead>::with(()).given(vec![imported(None).into(), erased().into()]);
        given().when(LeadCommand::Withdraw { import: import() }).then_expect_error(LeadError::NotWithdrawn);
        given().when(LeadCommand::Restore).then_expect_events(vec![]);
    }

    #[test]
    fn a_refusal_names_what_is_allowed() {
        let refusal = Refusal::from(LeadError::StepNotAllowed { step: LeadStep::Convert, status: LeadStatus::New });
        assert_eq!((refusal.kind(), refusal.code()), (kernel::Kind::Conflict, "lead_step_not_allowed"));
        assert_eq!(refusal.extra()["allowed"], serde_json::json!(["change_details", "assign", "disqualify"]));
        assert_eq!(refusal.extra()["state"], "new");
    }

    #[test]
    fn names_on_the_wire_are_those_of_serde() {
        for status in EVERY_STATUS {
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
        }
        for source in LeadSource::ALL {
            assert_eq!(serde_json::to_value(source).unwrap(), source.as_str());
        }
        for reason in DisqualifyReason::ALL {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
        }
    }
}
