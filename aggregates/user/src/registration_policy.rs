//! Registration policy: who may register by themselves, and which roles they get. A tenant has one such policy.

use std::convert::Infallible;

use kernel::Aggregate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

kernel::events! {
    /// Events of a tenant's registration policy.
    pub enum RegistrationPolicyEvent of "user.registration_policy" {
        /// The registration policy was set; this is the complete policy.
        RegistrationPolicySet = "user.registration_policy.set" @ 1 {
            pub open_to: OpenTo,
            /// Domains in ASCII form, if only e-mail addresses of these may register.
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            pub domains: Vec<String>,
            /// Roles that people get when they register.
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            pub roles: Vec<String>,
        },
    }
}

/// Who may register.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OpenTo {
    /// Nobody: users are invited or created by administrators.
    #[default]
    Nobody,
    /// Everybody with an e-mail address of a domain that the tenant has verified.
    VerifiedDomains,
    /// Everybody with an e-mail address of a domain that the policy names.
    Domains,
    /// Everybody.
    Everybody,
}

/// A tenant's registration policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistrationPolicy {
    /// Who may register.
    pub open_to: OpenTo,
    /// The domains that the policy names.
    pub domains: Vec<String>,
    /// Roles that people get when they register.
    pub roles: Vec<String>,
}

/// Commands for a tenant's registration policy. Values have been checked.
#[derive(Clone, Debug, PartialEq)]
pub enum RegistrationPolicyCommand {
    /// Replaces the policy.
    Set(RegistrationPolicySet),
}

impl RegistrationPolicy {
    /// Whether anybody may register.
    pub fn is_open(&self) -> bool {
        self.open_to != OpenTo::Nobody
    }

    /// Whether people with an address of a domain may register. `verified`: the tenant has verified the domain.
    pub fn allows(&self, domain: &str, verified: bool) -> bool {
        match self.open_to {
            OpenTo::Nobody => false,
            OpenTo::VerifiedDomains => verified,
            OpenTo::Domains => self.domains.iter().any(|named| named == domain),
            OpenTo::Everybody => true,
        }
    }
}

impl Aggregate for RegistrationPolicy {
    const TYPE: &'static str = "user.registration_policy";
    type Command = RegistrationPolicyCommand;
    type Event = RegistrationPolicyEvent;
    type Error = Infallible;

    fn decide(&self, command: RegistrationPolicyCommand) -> Result<Vec<RegistrationPolicyEvent>, Infallible> {
        let RegistrationPolicyCommand::Set(set) = command;
        let mut after = self.clone();
        after.evolve(set.clone().into());
        Ok(if after == *self { vec![] } else { vec![set.into()] })
    }

    fn evolve(&mut self, event: RegistrationPolicyEvent) {
        let RegistrationPolicyEvent::RegistrationPolicySet(RegistrationPolicySet { open_to, domains, roles }) = event;
        *self = Self { open_to, domains, roles };
    }
}

kernel::aggregate!(RegistrationPolicy);

#[cfg(test)]
mod tests {
    use cqrs_es::test::TestFramework;

    use super::*;

    fn set(open_to: OpenTo, domains: &[&str]) -> RegistrationPolicySet {
        let domains = domains.iter().map(|domain| (*domain).to_owned()).collect();
        RegistrationPolicySet { open_to, domains, roles: vec![] }
    }

    #[test]
    fn a_policy_is_set_and_the_same_again_is_no_event() {
        let command = |set: RegistrationPolicySet| RegistrationPolicyCommand::Set(set);
        let given =
            || TestFramework::<RegistrationPolicy>::with(()).given(vec![set(OpenTo::Domains, &["example.com"]).into()]);
        given().when(command(set(OpenTo::Domains, &["example.com"]))).then_expect_events(vec![]);
        for other in [set(OpenTo::Domains, &["example.org"]), set(OpenTo::Nobody, &[])] {
            given().when(command(other.clone())).then_expect_events(vec![other.into()]);
        }
        let none = TestFramework::<RegistrationPolicy>::with(()).given_no_previous_events();
        none.when(command(set(OpenTo::Nobody, &[]))).then_expect_events(vec![]);
    }

    #[test]
    fn it_lets_those_register_whom_it_means() {
        let lets = |policy: RegistrationPolicySet| {
            let mut state = RegistrationPolicy::default();
            state.evolve(policy.into());
            let asked = [("example.com", false), ("sub.example.com", false), ("example.org", true)];
            (state.is_open(), asked.map(|(domain, verified)| state.allows(domain, verified)))
        };
        assert_eq!(lets(set(OpenTo::Nobody, &[])), (false, [false, false, false]));
        assert_eq!(lets(set(OpenTo::VerifiedDomains, &[])), (true, [false, false, true]));
        assert_eq!(lets(set(OpenTo::Domains, &["example.com"])), (true, [true, false, false]));
        assert_eq!(lets(set(OpenTo::Everybody, &[])), (true, [true, true, true]));
    }
}
