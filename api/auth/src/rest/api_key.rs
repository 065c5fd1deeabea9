//! Operations on the API keys of machines.

use auth_aggregates::{ApiKey, ApiKeyId, ApiKeyRefusal};
use auth_commands::{IssueApiKey, RevokeApiKey, lengths};
use chrono::{DateTime, Utc};
use executor::Command as _;
use face::operation::{ChangeResult, CreateResult, ReadResult, change, find, id};
use face::{Authenticated, Changed, Command, Empty, Example, Runtime, example};
use kernel::{Checks, MachineId, Refusal};
use keys::SystemRandom;
use poem_openapi::OpenApi;
use poem_openapi::param::Path;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::secret::SecretMade;
use super::{Tag, reach};
use crate::SERVICE;
use crate::authority::ApiKeyText;

/// Operations on API keys.
pub struct ApiKeys {
    runtime: Runtime,
}

impl ApiKeys {
    pub fn new(runtime: Runtime) -> Self {
        Self { runtime }
    }

    /// Refuses scopes that cover no permission: with a misspelled one, the key could do nothing.
    fn known(&self, scopes: &[String]) -> Result<(), Refusal> {
        let mut checks = Checks::default();
        // The command refuses longer lists.
        for (place, scope) in scopes.iter().enumerate().take(lengths::SCOPES) {
            if !self.runtime.grants.iter().any(|grant| grant.is_covered_by(scope)) {
                let detail = "this scope covers no permission; `GET /v1/user/permissions` lists all permissions";
                checks.refuse(format!("/scopes/{place}"), "permission_unknown", detail);
            }
        }
        checks.finish()
    }
}

/// An API key to be issued.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"machine": "0197a8a0-0000-7000-8000-000000000001", "name": "Nightly export", "scopes": ["crm:lead:read"]}))]
struct NewApiKey {
    /// Machine that uses the key.
    machine: MachineId,
    /// Display name, such as what the key is used for.
    #[schemars(length(min = *lengths::NAME.start(), max = *lengths::NAME.end()))]
    name: String,
    /// Permissions to which the key is limited, such as crm:lead:read, crm:lead:* or crm:*; empty: all permissions of the machine.
    #[serde(default)]
    #[schemars(length(max = lengths::SCOPES))]
    scopes: Vec<String>,
    /// When the key expires; absent: never.
    #[serde(default, deserialize_with = "kernel::deserialize_optional_time")]
    expires_at: Option<DateTime<Utc>>,
}

/// An API key, without its secret.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ApiKey")]
struct ApiKeyResource {
    /// Id of the key.
    id: Uuid,
    /// Machine that uses the key.
    machine: Uuid,
    /// Display name.
    name: String,
    /// Permissions to which the key is limited; empty: no limit.
    scopes: Vec<String>,
    /// When the key expires.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<DateTime<Utc>>,
    /// When the key was last used, accurate to about an hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_used_at: Option<DateTime<Utc>>,
    /// When a request with this key was last refused, accurate to about an hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_refused_at: Option<DateTime<Utc>>,
    /// Reason of the last refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_refusal: Option<ApiKeyRefusal>,
    /// Whether the key was revoked.
    revoked: bool,
}

impl Example for ApiKeyResource {
    fn example() -> Self {
        Self {
            id: example::id(2),
            machine: example::id(1),
            name: "Nightly export".to_owned(),
            scopes: vec!["crm:lead:read".to_owned()],
            expires_at: Some(example::time(365 * 24 * 60)),
            last_used_at: Some(example::time(60)),
            last_refused_at: Some(example::time(0)),
            last_refusal: Some(ApiKeyRefusal::SecretWrong),
            revoked: false,
        }
    }
}

#[OpenApi(tag = "Tag::Machines")]
impl ApiKeys {
    /// Issue an API key for a machine
    ///
    /// Callers can't issue a key with more permissions than their own (`exceeds_own_permissions`). The key is used as a bearer token. It is
    /// shown only in this answer.
    #[oai(path = "/v1/auth/api-keys", method = "post", operation_id = "issueApiKey")]
    async fn issue(&self, command: Command<NewApiKey>) -> CreateResult<SecretMade> {
        command.request.caller.require(IssueApiKey::PERMISSION)?;
        self.known(&command.body.scopes)?;
        let key: ApiKeyId = self.runtime.executor.new_id();
        let text = ApiKeyText::generate(command.request.caller.tenant(), key, &SystemRandom)?;
        let NewApiKey { machine, name, scopes, expires_at } = command.body;
        let (secret_hash, reach) = (text.secret_hash(), reach(&self.runtime));
        let issue = IssueApiKey { key, machine, name, secret_hash, scopes, expires_at, reach };
        let done = self.runtime.executor.execute(&command.request, &issue).await?;
        let secret = (!done.repeated).then(|| text.write().to_string());
        let location = format!("/v1/auth/api-keys/{}", done.answer);
        Ok(Changed::new(SERVICE, done, |key| SecretMade { id: key.uuid(), secret }).created(location))
    }

    /// Get an API key
    ///
    /// Needs the permission `auth:machine:read`.
    #[oai(path = "/v1/auth/api-keys/:api_key", method = "get", operation_id = "getApiKey")]
    async fn get(&self, Authenticated(caller): Authenticated, api_key: Path<Uuid>) -> ReadResult<ApiKeyResource> {
        find(&self.runtime, &caller, "auth:machine:read", api_key.0, |state: &ApiKey| {
            let issued = state.issued.clone();
            ApiKeyResource {
                id: api_key.0,
                machine: issued.as_ref().map_or_else(Uuid::nil, |issued| issued.machine.uuid()),
                expires_at: issued.as_ref().and_then(|issued| issued.expires_at),
                scopes: issued.as_ref().map(|issued| issued.scopes.clone()).unwrap_or_default(),
                name: issued.map(|issued| issued.name).unwrap_or_default(),
                last_used_at: state.last_used,
                last_refused_at: state.last_refused.as_ref().map(|refused| refused.at),
                last_refusal: state.last_refused.as_ref().map(|refused| refused.reason),
                revoked: state.revoked,
            }
        })
        .await
    }

    /// Revoke an API key
    ///
    /// The key is refused everywhere within a second.
    #[oai(path = "/v1/auth/api-keys/:api_key/revoke", method = "post", operation_id = "revokeApiKey")]
    async fn revoke(&self, command: Command<Empty>, api_key: Path<Uuid>) -> ChangeResult {
        let revoke = RevokeApiKey { key: id(&api_key), reach: reach(&self.runtime) };
        change(&self.runtime, &command.request, api_key.0, revoke).await
    }
}
