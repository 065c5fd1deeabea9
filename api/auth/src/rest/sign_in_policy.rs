//! What a tenant asks of those who sign in.

use auth_aggregates::{RequiredOf, SignInPolicy};
use auth_commands::RequireSecondFactor;
use face::operation::{Done, Found, change};
use face::{Authenticated, Command, Resource, Runtime};
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

/// Who must have a second factor.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"second_factor": "admins"}))]
struct NewSignInPolicy {
    /// `off`, `admins` (who has the role `admin`, by themselves or by a group) or `everyone`.
    second_factor: RequiredOf,
}

/// What the tenant asks of those who sign in.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SignInPolicy")]
struct Shown {
    /// Who must have a second factor.
    second_factor: RequiredOf,
}

#[OpenApi(tag = "Tag::Sessions")]
impl SignInPolicies {
    /// Say who must have a second factor
    ///
    /// Who must and has none adds an authenticator or a passkey the next time they sign in, before they are in. It holds at once: a
    /// session that began with less is asked for more, and refresh tokens that came of it are refused.
    #[oai(path = "/v1/auth/sign-in-policy/set", method = "post", operation_id = "setSignInPolicy")]
    async fn set(&self, command: Command<NewSignInPolicy>) -> Done {
        let tenant = command.request.caller.tenant().uuid();
        let require = RequireSecondFactor { of: command.body.second_factor };
        change(&self.runtime, &command.request, tenant, require).await
    }

    /// What the tenant asks of those who sign in
    ///
    /// Needs the permission `auth:policy:read`.
    #[oai(path = "/v1/auth/sign-in-policy", method = "get", operation_id = "getSignInPolicy")]
    async fn get(&self, Authenticated(caller): Authenticated) -> Found<Shown> {
        caller.require("auth:policy:read")?;
        let tenant = caller.tenant().to_string();
        let found = self.runtime.executor.load::<SignInPolicy>(&caller, &tenant).await?;
        let (second_factor, version) =
            found.map_or_else(Default::default, |(state, version)| (state.second_factor, version));
        Ok(Resource { body: Shown { second_factor }, version })
    }
}
