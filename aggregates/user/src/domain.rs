//! Domain: a DNS domain that a tenant claims as its own and verifies with a DNS record.

use kernel::{Aggregate, Refusal};
use serde::{Deserialize, Serialize};

kernel::events! {
    /// Events of a domain.
    pub enum DomainEvent of "user.domain" {
        /// The tenant claimed the domain as its own.
        DomainClaimed = "user.domain.claimed" @ 1 {
            /// Domain name in ASCII form: lower case, `xn--…` for other scripts.
            pub domain: String,
        },
        /// The DNS record was found: the domain is verified.
        DomainVerified = "user.domain.verified" @ 1 {},
        /// The DNS record of the verified domain was looked up again and was missing.
        DomainRecordMissing = "user.domain.record_missing" @ 1 {},
        /// The tenant no longer claims the domain.
        DomainReleased = "user.domain.released" @ 1 {},
    }
}

/// A domain, as it results from its events.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClaimedDomain {
    pub domain: String,
    /// Whether its DNS record was ever found.
    pub verified: bool,
    /// Whether the DNS record was missing when it was last looked up, after it had been found before.
    pub record_missing: bool,
    pub released: bool,
}

/// Commands for a domain. The form of their values has been checked.
#[derive(Clone, Debug, PartialEq)]
pub enum DomainCommand {
    Claim(DomainClaimed),
    /// The DNS record was found.
    Verify,
    /// The DNS record was looked up and not found.
    NoteMissing,
    Release,
}

/// Why a domain refuses a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DomainError {
    /// The tenant no longer claims the domain.
    #[error("the domain was released; claim it again, which gives it another DNS record")]
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
            // The record of a domain that was never verified does not count as missing.
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
