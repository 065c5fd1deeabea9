//! The state of a lead, with `decide` and `evolve`.

use chrono::{DateTime, Utc};
use kernel::{Aggregate, Personal, Refusal, listed};
use serde::{Deserialize, Serialize};

use super::step::LeadStep;
use crate::{
    DisqualifyReason, ErasureReason, ImportId, LeadAssigned, LeadCaptured, LeadConverted, LeadDetails,
    LeadDetailsChanged, LeadDisqualified, LeadErased, LeadEscalated, LeadEscalationWithdrawn, LeadEvent, LeadQualified,
    LeadRecycled, LeadRestored, LeadSource, LeadStatus, LeadWithdrawn, LeadWorkStarted,
};

/// A lead, as it results from its events.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Lead {
    /// Its status.
    pub status: LeadStatus,
    /// The person's details.
    pub details: LeadDetails,
    /// The source of the lead.
    pub source: LeadSource,
    /// The responsible user, as the subject of their token.
    pub owner: Option<String>,
    /// The result of its conversion, once it is converted.
    pub conversion: Option<LeadConverted>,
    /// Why it was recycled, while it has that status.
    #[serde(default)]
    pub recycled: Option<LeadRecycled>,
    /// Why it was disqualified, while it has that status.
    #[serde(default)]
    pub disqualified: Option<LeadDisqualified>,
    /// The user to whom it was escalated, while it is qualified. If it is qualified again, it can be escalated again.
    #[serde(default)]
    pub escalated_to: Option<String>,
    /// The import that created it.
    #[serde(default)]
    pub import: Option<ImportId>,
    /// Whether it was changed since it was captured.
    #[serde(default)]
    pub touched: bool,
}

/// Commands for a lead. The form of their values has been checked.
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

/// Why a lead refuses a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeadError {
    /// The lead's status does not allow the step.
    #[error("a lead that is {} can't take the step {}; allowed steps: {}", .status.as_str(), .step.as_str(), listed(.status.allowed().iter().map(|step| step.as_str())))]
    StepNotAllowed { step: LeadStep, status: LeadStatus },
    /// Only a qualified lead can be escalated.
    #[error("a lead that is {} can't be escalated; allowed status: qualified", .status.as_str())]
    NotEscalated { status: LeadStatus },
    /// The lead was changed since the import, or was not created by it.
    #[error("a lead can be withdrawn only if this import created it and it was not changed since")]
    NotWithdrawn,
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
    /// Why the lead was disqualified or recycled, if it is and the reason is known.
    pub fn reason(&self) -> Option<&str> {
        let recycled = self.recycled.as_ref().and_then(|recycled| recycled.reason.known()).map(String::as_str);
        recycled.or_else(|| self.disqualified.as_ref().map(|disqualified| disqualified.reason.as_str()))
    }

    /// The note of its disqualification, if it is disqualified and the note is known.
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
    const FORM: u32 = 5;
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
            // The person has the right to erasure in every status, so it is not a step of the life cycle.
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
            }
        }
        // Reasons belong to the current status, and only a qualified lead is escalated.
        if self.status != LeadStatus::Qualified {
            self.escalated_to = None;
        }
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
mod tests;
