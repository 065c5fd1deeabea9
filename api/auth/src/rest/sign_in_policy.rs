//! What a tenant asks of those who sign in.

use auth_aggregates::{RequiredOf, SignInPolicy};
use auth_commands::SetSignInPolicy;
use face::operation::{Done, Found, change};
use face::{Authenticated, Command, Example, Resource, Runtime};
use poem_openapi::OpenApi;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Tag;

/// The operations on the tenant's policy of signing in.
pub struct SignInPolicies {
    runtime: Runtime,
}

impl SignInPolicies {
    pub fn new(runtime: Runtime) -> Self {
        Self { runtime }
    }
}

/// What the tenant asks of those who sign in. What is not named stays as it is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"second_factor": "admins"}))]
struct NewSignInPolicy {
    /// Who must have a second factor: `off`, `admins` (who has the role `admin`, by themselves or by a group) or `everyone`.
    #[serde(default)]
    second_factor: Option<RequiredOf>,
    /// After how many minutes without use a session ends.
    #[serde(default)]
    #[schemars(range(min = 30, max = 20160))]
    session_idle_minutes: Option<u32>,
}

/// What the tenant asks of those who sign in.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SignInPolicy")]
struct Shown {
    /// Who must have a second factor.
    second_factor: RequiredOf,
    /// After how many minutes without use a session ends.
    session_idle_minutes: u32,
}

impl Example for Shown {
    fn example() -> Self {
        Self { second_factor: RequiredOf::Admins, session_idle_minutes: 3 * 24 * 60 }
    }
}

#[OpenApi(tag = "Tag::Sessions")]
impl SignInPolicies {
    /// Say what the tenant asks of those who sign in
    ///
    /// Who must have a second factor and has none adds an authenticator or a passkey the next time they sign in, before they are in. It
    /// holds at once: a session that began with less is asked for more, and refresh tokens that came of it are refused. So does how long
    /// a session may rest, which ends those that have rested for longer.
    #[oai(path = "/v1/auth/sign-in-policy/set", method = "post", operation_id = "setSignInPolicy")]
    async fn set(&self, command: Command<NewSignInPolicy>) -> Done {
        let tenant = command.request.caller.tenant().uuid();
        let NewSignInPolicy { second_factor, session_idle_minutes } = command.body;
        let set = SetSignInPolicy { second_factor, session_idle_minutes };
        change(&self.runtime, &command.request, tenant, set).await
    }

    /// What the tenant asks of those who sign in
    ///
    /// Needs the permission `auth:policy:read`.
    #[oai(path = "/v1/auth/sign-in-policy", method = "get", operation_id = "getSignInPolicy")]
    async fn get(&self, Authenticated(caller): Authenticated) -> Found<Shown> {
        caller.require("auth:policy:read")?;
        let tenant = caller.tenant().to_string();
        let found = self.runtime.executor.load::<SignInPolicy>(&caller, &tenant).await?;
        let (policy, version) = found.unwrap_or_default();
        let body = Shown { second_factor: policy.second_factor, session_idle_minutes: policy.session_idle_minutes() };
        Ok(Resource { body, version })
    }
}
