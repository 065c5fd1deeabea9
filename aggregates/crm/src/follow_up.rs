//! Follow-up: a tenant's policy for qualified leads without activity. A tenant has one.

use std::convert::Infallible;

use kernel::Aggregate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

kernel::events! {
    /// The events of a tenant's follow-up policy for leads.
    pub enum FollowUpEvent of "crm.follow_up" {
        /// A follow-up policy was set. It applies to leads that are qualified from now on.
        FollowUpSet = "crm.follow_up.set" @ 1 { pub policy: FollowUpPolicy },
        /// The follow-up was stopped. Leads that are qualified from now on are not followed up.
        FollowUpStopped = "crm.follow_up.stopped" @ 1 {},
    }
}

/// When a qualified lead without activity is escalated, and when it is reassigned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FollowUpPolicy {
    /// Days without activity until the lead is escalated.
    pub escalate_after_days: u32,
    /// The user to whom it is escalated, as the subject of their token.
    pub escalate_to: String,
    /// Further days without activity until it is reassigned.
    pub reassign_after_days: u32,
    /// The user to whom it is reassigned, as the subject of their token.
    pub reassign_to: String,
}

/// A tenant's follow-up policy, as it results from its events.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FollowUp {
    /// The policy; `None`: leads are not followed up.
    pub policy: Option<FollowUpPolicy>,
}

/// Commands for a tenant's follow-up. The form of their values has been checked.
#[derive(Clone, Debug, PartialEq)]
pub enum FollowUpCommand {
    Set(FollowUpPolicy),
    Stop,
}

impl Aggregate for FollowUp {
    const TYPE: &'static str = "crm.follow_up";
    type Command = FollowUpCommand;
    type Event = FollowUpEvent;
    type Error = Infallible;

    fn decide(&self, command: FollowUpCommand) -> Result<Vec<FollowUpEvent>, Infallible> {
        Ok(match command {
            FollowUpCommand::Set(policy) if self.policy.as_ref() == Some(&policy) => vec![],
            FollowUpCommand::Set(policy) => vec![FollowUpSet { policy }.into()],
            FollowUpCommand::Stop if self.policy.is_none() => vec![],
            FollowUpCommand::Stop => vec![FollowUpStopped {}.into()],
        })
    }

    fn evolve(&mut self, event: FollowUpEvent) {
        self.policy = match event {
            FollowUpEvent::FollowUpSet(set) => Some(set.policy),
            FollowUpEvent::FollowUpStopped(_) => None,
        };
    }
}

kernel::aggregate!(FollowUp);

#[cfg(test)]
mod tests {
    use cqrs_es::test::TestFramework;

    use super::*;

    fn policy(days: u32) -> FollowUpPolicy {
        FollowUpPolicy {
            escalate_after_days: days,
            escalate_to: "grace".to_owned(),
            reassign_after_days: 2,
            reassign_to: "ada".to_owned(),
        }
    }

    #[test]
    fn a_policy_is_set_changed_and_stopped_and_the_same_is_no_event() {
        let given = || TestFramework::<FollowUp>::with(()).given(vec![FollowUpSet { policy: policy(3) }.into()]);
        given().when(FollowUpCommand::Set(policy(3))).then_expect_events(vec![]);
        given()
            .when(FollowUpCommand::Set(policy(4)))
            .then_expect_events(vec![FollowUpSet { policy: policy(4) }.into()]);
        given().when(FollowUpCommand::Stop).then_expect_events(vec![FollowUpStopped {}.into()]);
        TestFramework::<FollowUp>::with(())
            .given_no_previous_events()
            .when(FollowUpCommand::Stop)
            .then_expect_events(vec![]);
    }
}
