//! Operations on a tenant's sign-in policy.

use auth_aggregates::{RequiredOf, SignInPolicy};
use auth_commands::{IDLE_MINUTES, SetSignInPolicy};
use face::operation::{ChangeResult, UnstoredResult, change};
use face::{Authenticated, Command, Example, Resource, Runtime, Unstored};
use poem_openapi::OpenApi;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Tag, reach};

/// Operations on the tenant's sign-in policy.
pub struct SignInPolicies {
    runtime: Runtime,
}

impl SignInPolicies {
    pub fn new(runtime: Runtime) -> Self {
        Self { runtime }
    }
}

/// Changes of the sign-in policy. Fields that are left out stay unchanged.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"second_factor": "admins"}))]
struct NewSignInPolicy {
    /// Who must have a second factor: `off` (nobody), `admins` (users who may do all that the role `admin` allows) or `everyone`.
    #[serde(default)]
    second_factor: Option<RequiredOf>,
    /// Minutes of inactivity after which a session ends.
    #[serde(default)]
    #[schemars(range(min = *IDLE_MINUTES.start(), max = *IDLE_MINUTES.end()))]
    session_idle_minutes: Option<u32>,
}

/// The tenant's sign-in policy.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SignInPolicy")]
struct Shown {
    /// Who must have a second factor.
    second_factor: RequiredOf,
    /// Minutes of inactivity after which a session ends.
    session_idle_minutes: u32,
}

impl Example for Shown {
    fn example() -> Self {
        Self { second_factor: RequiredOf::Admins, session_idle_minutes: 3 * 24 * 60 }
    }
}

#[OpenApi(tag = "Tag::Sessions")]
impl SignInPolicies {
    /// Change the tenant's sign-in policy
    ///
    /// Users who must have a second factor and have none have to add an authenticator or a passkey when they next sign in, before they get
    /// access. The policy takes effect at once: sessions that began without a second factor require one, and refresh tokens from them are
    /// refused. The same applies to the idle time, which ends sessions that have been inactive for longer. To require a second factor of
    /// fewer users, or to allow a longer idle time, needs all permissions of administrators.
    #[oai(path = "/v1/auth/sign-in-policy/set", method = "post", operation_id = "setSignInPolicy")]
    async fn set(&self, command: Command<NewSignInPolicy>) -> ChangeResult {
        let tenant = command.request.caller.tenant().uuid();
        let NewSignInPolicy { second_factor, session_idle_minutes } = command.body;
        let set = SetSignInPolicy { second_factor, session_idle_minutes, reach: reach(&self.runtime) };
        change(&self.runtime, &command.request, tenant, set).await
    }

    /// Get the tenant's sign-in policy
    ///
    /// Needs the permission `auth:policy:read`.
    #[oai(path = "/v1/auth/sign-in-policy", method = "get", operation_id = "getSignInPolicy")]
    async fn get(&self, Authenticated(caller): Authenticated) -> UnstoredResult<Shown> {
        caller.require("auth:policy:read")?;
        let tenant = caller.tenant().to_string();
        let found = self.runtime.executor.load::<SignInPolicy>(&caller, &tenant).await?;
        let (policy, version) = found.unwrap_or_default();
        let body = Shown { second_factor: policy.second_factor, session_idle_minutes: policy.session_idle_minutes() };
        Ok(Unstored(Resource { body, version }))
    }
}
