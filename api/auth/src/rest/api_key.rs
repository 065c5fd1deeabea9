//! API keys of machines: issue, revoke.

use auth_aggregates::{ApiKey, ApiKeyId, ApiKeyRefusal};
use auth_commands::{IssueApiKey, RevokeApiKey};
use chrono::{DateTime, Utc};
use executor::Command as _;
use face::operation::{Done, Found, Made, change, find, id};
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

/// So many scopes are looked at; more are refused by the command.
const MOST_SCOPES: usize = 50;

/// The operations on API keys.
pub struct ApiKeys {
    runtime: Runtime,
}

impl ApiKeys {
    pub fn new(runtime: Runtime) -> Self {
        Self { runtime }
    }

    /// Refuses scopes that cover no permission: a slip of the pen would look like a key that may nothing.
    fn known(&self, scopes: &[String]) -> Result<(), Refusal> {
        let mut checks = Checks::default();
        for (place, scope) in scopes.iter().enumerate().take(MOST_SCOPES) {
            if !self.runtime.grants.iter().any(|grant| grant.is_covered_by(scope)) {
                let detail =
                    "no permission is covered by this scope; `GET /v1/user/permissions` lists those that there are";
                checks.refuse(format!("/scopes/{place}"), "permission_unknown", detail);
            }
        }
        checks.finish()
    }
}

/// A new API key.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"machine": "0197a8a0-0000-7000-8000-000000000001", "name": "Nightly export", "scopes": ["crm:lead:read"]}))]
struct NewApiKey {
    /// The machine that calls with it.
    machine: MachineId,
    /// What it is for, for people.
    #[schemars(length(min = 1, max = 200))]
    name: String,
    /// The permissions to which it is limited, such as crm:lead:read, crm:lead:* or crm:*; none: all that the machine has.
    #[serde(default)]
    #[schemars(length(max = 50))]
    scopes: Vec<String>,
    /// When it ends; absent: it does not.
    #[serde(default, deserialize_with = "kernel::deserialize_optional_time")]
    expires_at: Option<DateTime<Utc>>,
}

/// An API key, without its secret.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ApiKey")]
struct ApiKeyResource {
    /// Its id.
    id: Uuid,
    /// The machine that calls with it.
    machine: Uuid,
    /// What it is for.
    name: String,
    /// The permissions to which it is limited; none: it is not.
    scopes: Vec<String>,
    /// When it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<DateTime<Utc>>,
    /// When it was last used, to about an hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_used_at: Option<DateTime<Utc>>,
    /// When somebody was last refused who came with it, to about an hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_refused_at: Option<DateTime<Utc>>,
    /// Why they were.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_refusal: Option<ApiKeyRefusal>,
    /// Whether it is refused.
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
    /// Give a machine an API key
    ///
    /// By it nobody gets to more than they may themselves (`exceeds_own_permissions`). It is used as a bearer token. The answer is the only place where it is shown.
    #[oai(path = "/v1/auth/api-keys", method = "post", operation_id = "issueApiKey")]
    async fn issue(&self, command: Command<NewApiKey>) -> Made<SecretMade> {
        command.request.caller.require(IssueApiKey::PERMISSION)?;
        self.known(&command.body.scopes)?;
        let (machine, scopes) = (command.body.machine, &command.body.scopes);
        reach::over_machine(&self.runtime, &command.request.caller, machine, scopes).await?;
        let key: ApiKeyId = self.runtime.executor.new_id();
        let text = ApiKeyText::generate(command.request.caller.tenant(), key, &SystemRandom)?;
        let NewApiKey { machine, name, scopes, expires_at } = command.body;
        let issue = IssueApiKey { key, machine, name, secret_hash: text.secret_hash(), scopes, expires_at };
        let done = self.runtime.executor.execute(&command.request, &issue).await?;
        let secret = (!done.repeated).then(|| text.write().to_string());
        let location = format!("/v1/auth/api-keys/{}", done.answer);
        Ok(Changed::new(SERVICE, done, |key| SecretMade { id: key.uuid(), secret }).created(location))
    }

    /// An API key as it is now
    ///
    /// Needs the permission `auth:machine:read`.
    #[oai(path = "/v1/auth/api-keys/:api_key", method = "get", operation_id = "getApiKey")]
    async fn get(&self, Authenticated(caller): Authenticated, api_key: Path<Uuid>) -> Found<ApiKeyResource> {
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
    /// It is refused everywhere within a second.
    #[oai(path = "/v1/auth/api-keys/:api_key/revoke", method = "post", operation_id = "revokeApiKey")]
    async fn revoke(&self, command: Command<Empty>, api_key: Path<Uuid>) -> Done {
        let caller = &command.request.caller;
        caller.require(RevokeApiKey::PERMISSION)?;
        let found = self.runtime.executor.load::<ApiKey>(caller, &api_key.0.to_string()).await?;
        if let Some(issued) = found.and_then(|(key, _)| key.issued.clone()) {
            reach::over_machine(&self.runtime, caller, issued.machine, &issued.scopes).await?;
        }
        change(&self.runtime, &command.request, api_key.0, RevokeApiKey { key: id(&api_key) }).await
    }
}
