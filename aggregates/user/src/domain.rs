//! Domain: a name of the domain name system that a tenant says is its own, and has shown to be by a record there.

use kernel::{Aggregate, Refusal};
use serde::{Deserialize, Serialize};

kernel::events! {
    /// What can happen to a domain.
    pub enum DomainEvent of "user.domain" {
        /// The tenant says that it is its own.
        DomainClaimed = "user.domain.claimed" @ 1 {
            /// In the form of the domain name system: lower case, `xn--` where it is another script.
            pub domain: String,
        },
        /// The record was there.
        DomainVerified = "user.domain.verified" @ 1 {},
        /// It was looked for again, and was not there any more.
        DomainRecordMissing = "user.domain.record_missing" @ 1 {},
        /// The tenant does not say so any more.
        DomainReleased = "user.domain.released" @ 1 {},
    }
}

/// A domain as its history has made it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClaimedDomain {
    pub domain: String,
    /// Whether its record was there once.
    pub verified: bool,
    /// Whether it was not there when it was last looked for, after it had been.
    pub record_missing: bool,
    pub released: bool,
}

/// What can be asked of a domain. Values have been checked for form.
#[derive(Clone, Debug, PartialEq)]
pub enum DomainCommand {
    Claim(DomainClaimed),
    /// The record was seen.
    Verify,
    /// The record was looked for, and not seen.
    NoteMissing,
    Release,
}

/// Why a domain says no.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DomainError {
    /// It is the tenant's no more.
    #[error("the domain was released; claim it anew, which gives it another record")]
    Released,
}

impl From<DomainError> for Refusal {
    fn from(error: DomainError) -> Self {
        Self::conflict("domain_released", error.to_string())
    }
}

impl Aggregate for ClaimedDomain {
    const TYPE: &'static str = "user.domain";
    type Command = DomainCommand;
    type Event = DomainEvent;
    type Error = DomainError;

    fn decide(&self, command: DomainCommand) -> Result<Vec<DomainEvent>, DomainError> {
        Ok(match command {
            DomainCommand::Claim(claimed) => vec![claimed.into()],
            DomainCommand::Release if self.released => vec![],
            _ if self.released => return Err(DomainError::Released),
            DomainCommand::Verify if self.verified && !self.record_missing => vec![],
            DomainCommand::Verify => vec![DomainVerified {}.into()],
            DomainCommand::NoteMissing if self.verified && !self.record_missing => vec![DomainRecordMissing {}.into()],
            // What was never shown is not missing.
            DomainCommand::NoteMissing => vec![],
            DomainCommand::Release => vec![DomainReleased {}.into()],
        })
    }

    fn evolve(&mut self, event: DomainEvent) {
        match event {
            DomainEvent::DomainClaimed(e) => self.domain = e.domain,
            DomainEvent::DomainVerified(_) => (self.verified, self.record_missing) = (true, false),
            DomainEvent::DomainRecordMissing(_) => self.record_missing = true,
            DomainEvent::DomainReleased(_) => self.released = true,
        }
    }
}

kernel::aggregate!(ClaimedDomain);

#[cfg(test)]
mod tests {
    use cqrs_es::test::TestFramework;

    use super::*;

    fn given(events: Vec<DomainEvent>) -> cqrs_es::test::AggregateTestExecutor<ClaimedDomain> {
        let claimed = DomainClaimed { domain: "example.com".to_owned() }.into();
        TestFramework::<ClaimedDomain>::with(()).given([vec![claimed], events].concat())
    }

    #[test]
    fn what_was_shown_and_is_there_no_more_is_noted_once_and_shown_again() {
        let (verified, missing) = (|| DomainVerified {}.into(), || DomainRecordMissing {}.into());
        given(vec![]).when(DomainCommand::NoteMissing).then_expect_events(vec![]);
        given(vec![]).when(DomainCommand::Verify).then_expect_events(vec![verified()]);
        given(vec![verified()]).when(DomainCommand::Verify).then_expect_events(vec![]);
        given(vec![verified()]).when(DomainCommand::NoteMissing).then_expect_events(vec![missing()]);
        given(vec![verified(), missing()]).when(DomainCommand::NoteMissing).then_expect_events(vec![]);
        given(vec![verified(), missing()]).when(DomainCommand::Verify).then_expect_events(vec![verified()]);
    }

    #[test]
    fn a_released_domain_is_claimed_anew_or_not_at_all() {
        let released = || vec![DomainVerified {}.into(), DomainReleased {}.into()];
        given(released()).when(DomainCommand::Release).then_expect_events(vec![]);
        for refused in [DomainCommand::Verify, DomainCommand::NoteMissing] {
            given(released()).when(refused).then_expect_error(DomainError::Released);
        }
    }
}
