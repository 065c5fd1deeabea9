//! The tenant's follow-up policy for qualified leads on which nobody works.

use crm_aggregates::FollowUp;
use crm_commands::{SetFollowUp, StopFollowUp};
use face::{Authenticated, Command, Empty, Example, Resource, Runtime, Unstored, Whole};
use poem_openapi::OpenApi;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Tag;
use super::form;
use face::operation::{ChangeResult, UnstoredResult, change};

/// The operations on the tenant's follow-up.
pub struct FollowUps {
    runtime: Runtime,
}

impl FollowUps {
    pub fn new(runtime: Runtime) -> Self {
        Self { runtime }
    }
}

/// When qualified leads without activity are escalated, and when they are reassigned.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"escalate_after_days": 3, "escalate_to": "ada", "reassign_after_days": 7, "reassign_to": "grace"}))]
struct NewFollowUp {
    /// Days without activity until a lead is escalated.
    escalate_after_days: Whole<u32, 1, 365>,
    /// The user to whom it is escalated, as the subject of their token.
    #[schemars(with = "form::Subject")]
    escalate_to: String,
    /// Further days without activity until it is reassigned.
    reassign_after_days: Whole<u32, 1, 365>,
    /// The user to whom it is reassigned, as the subject of their token.
    #[schemars(with = "form::Subject")]
    reassign_to: String,
}

/// The follow-up policy for qualified leads without activity.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "FollowUp")]
struct Shown {
    /// The policy. Absent if leads are not followed up.
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<crm_aggregates::FollowUpPolicy>,
}

impl Example for Shown {
    fn example() -> Self {
        let policy = crm_aggregates::FollowUpPolicy {
            escalate_after_days: 3,
            escalate_to: "grace".to_owned(),
            reassign_after_days: 2,
            reassign_to: "hedy".to_owned(),
        };
        Self { policy: Some(policy) }
    }
}

#[OpenApi(tag = "Tag::Leads")]
impl FollowUps {
    /// Set the follow-up policy for inactive leads
    ///
    /// The policy applies to leads that are qualified from now on. Each lead keeps the policy that was in force when it was
    /// qualified; only if somebody whom it names can't sign in any more, the lead goes to whom the current policy names. Whoever
    /// can't sign in now is refused (`cannot_sign_in`).
    #[oai(path = "/v1/crm/follow-up/set", method = "post", operation_id = "setFollowUp")]
    async fn set(&self, command: Command<NewFollowUp>) -> ChangeResult {
        let tenant = command.request.caller.tenant().uuid();
        let NewFollowUp { escalate_after_days, escalate_to, reassign_after_days, reassign_to } = command.body;
        let (escalate_after_days, reassign_after_days) = (escalate_after_days.0, reassign_after_days.0);
        let set = SetFollowUp { escalate_after_days, escalate_to, reassign_after_days, reassign_to };
        change(&self.runtime, &command.request, tenant, set).await
    }

    /// Stop the follow-up of inactive leads
    ///
    /// Leads that were qualified before are still followed up; to stop that, cancel their sagas.
    #[oai(path = "/v1/crm/follow-up/stop", method = "post", operation_id = "stopFollowUp")]
    async fn stop(&self, command: Command<Empty>) -> ChangeResult {
        let tenant = command.request.caller.tenant().uuid();
        change(&self.runtime, &command.request, tenant, StopFollowUp).await
    }

    /// Get the follow-up policy for inactive leads
    ///
    /// Needs the permission `crm:follow_up:read`.
    #[oai(path = "/v1/crm/follow-up", method = "get", operation_id = "getFollowUp")]
    async fn get(&self, Authenticated(caller): Authenticated) -> UnstoredResult<Shown> {
        caller.require("crm:follow_up:read")?;
        let tenant = caller.tenant().to_string();
        let found = self.runtime.executor.load::<FollowUp>(&caller, &tenant).await?;
        let (policy, version) = found.map_or((None, 0), |(state, version)| (state.policy.clone(), version));
        Ok(Unstored(Resource { body: Shown { policy }, version }))
    }
}
