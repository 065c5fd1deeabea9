//! Operations on clients: applications that sign users in.

use auth_aggregates::{Algorithm, Client, Jwk, OurAlgorithm};
use auth_commands::{
    ChangeClient, ClientFields, DeactivateClient, ReactivateClient, RegisterClient, SetClientSecret, lengths,
};
use face::operation::{ChangeResult, CreateResult, ReadResult, change, create, find, id};
use face::{Authenticated, Changed, Command, Empty, Example, Runtime, example};
use kernel::TenantId;
use poem_openapi::OpenApi;
use poem_openapi::param::Path;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use webhooks::Guard;

use super::public_key::PublicKey;
use super::secret::{self, SecretMade};
use super::{Tag, reach};
use crate::SERVICE;

/// Operations on clients.
pub struct Clients {
    runtime: Runtime,
}

impl Clients {
    pub fn new(runtime: Runtime) -> Self {
        Self { runtime }
    }
}

/// The complete details of a client.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"name": "Timesheets", "confidential": true, "redirect_uris": ["https://timesheets.example.com/callback"]}))]
struct ClientBody {
    /// Name shown to users.
    #[schemars(length(min = *lengths::NAME.start(), max = *lengths::NAME.end()))]
    name: String,
    /// Whether the client can keep a secret; applications in a browser or on a phone can't.
    confidential: bool,
    /// URIs to which users may be redirected after sign-in; compared exactly, except for the port of a public client's loopback addresses.
    #[schemars(length(min = 1, max = lengths::REDIRECT_URIS))]
    redirect_uris: Vec<String>,
    /// URIs to which users may be redirected after sign-out.
    #[serde(default)]
    #[schemars(length(max = lengths::REDIRECT_URIS))]
    post_logout_redirect_uris: Vec<String>,
    /// Whether the client is the tenant's own, so that users are not asked for consent.
    #[serde(default)]
    trusted: bool,
    /// Public keys with which the client authenticates instead of with a secret.
    #[serde(default)]
    #[schemars(length(max = lengths::KEYS))]
    keys: Vec<PublicKey>,
    /// URI that is notified when a session ends (OpenID Connect Back-Channel Logout).
    #[serde(default)]
    #[schemars(length(max = lengths::URI))]
    backchannel_logout_uri: Option<String>,
    /// Whether the client may exchange access tokens for ones with fewer permissions (RFC 8693).
    #[serde(default)]
    exchanges: bool,
    /// Algorithm that signs its ID tokens and logout tokens: `EdDSA`, `ES256` for clients that do not support `EdDSA`, or `RS256` for those
    /// that support neither.
    #[serde(default)]
    id_token_signed_response_alg: OurAlgorithm,
}

impl Clients {
    /// Converts the request body, and checks whether the logout URI may be called from here.
    fn fields(&self, body: ClientBody) -> ClientFields {
        let guard = Guard { allow_private: self.runtime.calls_private };
        let unreachable = body.backchannel_logout_uri.as_ref().and_then(|uri| guard.url(uri).err());
        ClientFields {
            name: body.name,
            confidential: body.confidential,
            redirect_uris: body.redirect_uris,
            post_logout_redirect_uris: body.post_logout_redirect_uris,
            trusted: body.trusted,
            keys: body.keys.into_iter().map(Jwk::from).collect(),
            backchannel_logout_uri: body.backchannel_logout_uri,
            unreachable: unreachable.map(|why| why.to_string()),
            exchanges: body.exchanges,
            id_token_signed_response_alg: body.id_token_signed_response_alg,
        }
    }

    /// Creates the tenant's RSA signing key in the background when its first client wants one, so that clients that fetch the key set
    /// before the first sign-in find it there. If that fails now, it is created at the first signature.
    fn prepare(&self, tenant: TenantId, algorithm: OurAlgorithm) {
        if algorithm != OurAlgorithm::RS256 {
            return;
        }
        let keys = self.runtime.signing_keys.clone();
        tokio::spawn(async move {
            if let Err(refusal) = keys.prepare(tenant, Algorithm::from(algorithm).as_str()).await {
                tracing::warn!(%tenant, %refusal, "a key for a client's tokens can't be made now; it is made when one is signed");
            }
        });
    }
}

/// A client: an application that signs users in.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Client")]
struct ClientResource {
    /// Id of the client (`client_id`).
    id: Uuid,
    /// Name shown to users.
    name: String,
    /// Whether the client can keep a secret.
    confidential: bool,
    /// URIs to which users may be redirected after sign-in.
    redirect_uris: Vec<String>,
    /// URIs to which users may be redirected after sign-out.
    post_logout_redirect_uris: Vec<String>,
    /// Whether users are not asked for consent.
    trusted: bool,
    /// Public keys with which the client authenticates.
    keys: Vec<Jwk>,
    /// URI that is notified when a session ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    backchannel_logout_uri: Option<String>,
    /// Whether the client may exchange tokens.
    exchanges: bool,
    /// Algorithm that signs its ID tokens and logout tokens.
    id_token_signed_response_alg: OurAlgorithm,
    /// Whether the client has a secret.
    has_secret: bool,
    /// Whether the client may sign users in.
    active: bool,
}

impl Example for ClientResource {
    fn example() -> Self {
        Self {
            id: example::id(4),
            name: "Reports".to_owned(),
            confidential: true,
            redirect_uris: vec!["https://reports.example.com/back".to_owned()],
            post_logout_redirect_uris: vec!["https://reports.example.com/".to_owned()],
            trusted: false,
            keys: Vec::new(),
            backchannel_logout_uri: Some("https://reports.example.com/logout".to_owned()),
            exchanges: false,
            id_token_signed_response_alg: OurAlgorithm::ES256,
            has_secret: true,
            active: true,
        }
    }
}

#[OpenApi(tag = "Tag::Clients")]
impl Clients {
    /// Register a client
    ///
    /// Needs the permission `auth:client:write`. A `trusted` client, for which users are not asked for consent, also needs all permissions
    /// of the role `admin` (`exceeds_own_permissions`).
    #[oai(path = "/v1/auth/clients", method = "post", operation_id = "registerClient")]
    async fn register(&self, command: Command<ClientBody>) -> CreateResult {
        let algorithm = command.body.id_token_signed_response_alg;
        let register = RegisterClient { fields: self.fields(command.body), reach: reach(&self.runtime) };
        let made = create(&self.runtime, &command.request, "clients", register, |id| id.uuid()).await?;
        self.prepare(command.request.caller.tenant(), algorithm);
        Ok(made)
    }

    /// Get a client
    ///
    /// Needs the permission `auth:client:read`.
    #[oai(path = "/v1/auth/clients/:client", method = "get", operation_id = "getClient")]
    async fn get(&self, Authenticated(caller): Authenticated, client: Path<Uuid>) -> ReadResult<ClientResource> {
        find(&self.runtime, &caller, "auth:client:read", client.0, |state: &Client| {
            let details = state.details.clone();
            ClientResource {
                id: client.0,
                name: details.name,
                confidential: details.confidential,
                redirect_uris: details.redirect_uris,
                post_logout_redirect_uris: details.post_logout_redirect_uris,
                trusted: details.trusted,
                keys: details.keys,
                backchannel_logout_uri: details.backchannel_logout_uri,
                exchanges: details.exchanges,
                id_token_signed_response_alg: details.id_token_signed_response_alg,
                has_secret: state.secret_hash.is_some(),
                active: state.active,
            }
        })
        .await
    }

    /// Replace the details of a client
    ///
    /// Needs the permission `auth:client:write`. Changing a `trusted` client, or adding redirect URIs, also needs all permissions of the
    /// role `admin` (`exceeds_own_permissions`).
    #[oai(path = "/v1/auth/clients/:client/change", method = "post", operation_id = "changeClient")]
    async fn change(&self, command: Command<ClientBody>, client: Path<Uuid>) -> ChangeResult {
        let algorithm = command.body.id_token_signed_response_alg;
        let (fields, reach) = (self.fields(command.body), reach(&self.runtime));
        let changed = ChangeClient { client: id(&client), fields, reach };
        let done = change(&self.runtime, &command.request, client.0, changed).await?;
        self.prepare(command.request.caller.tenant(), algorithm);
        Ok(done)
    }

    /// Set a new secret for a confidential client
    ///
    /// The previous secret is no longer valid. The new one is shown only in this answer.
    #[oai(path = "/v1/auth/clients/:client/secret", method = "post", operation_id = "setClientSecret")]
    async fn set_secret(&self, command: Command<Empty>, client: Path<Uuid>) -> ChangeResult<SecretMade> {
        let (secret, secret_hash) = secret::fresh()?;
        let set = SetClientSecret { client: id(&client), secret_hash, reach: reach(&self.runtime) };
        let done = self.runtime.executor.execute(&command.request, &set).await?;
        let secret = (!done.repeated).then(|| secret.to_string());
        Ok(Changed::new(SERVICE, done, |()| SecretMade { id: client.0, secret }))
    }

    /// Deactivate a client
    ///
    /// The client can't sign users in any more, and its grants end everywhere within a second.
    #[oai(path = "/v1/auth/clients/:client/deactivate", method = "post", operation_id = "deactivateClient")]
    async fn deactivate(&self, command: Command<Empty>, client: Path<Uuid>) -> ChangeResult {
        let deactivate = DeactivateClient { client: id(&client), reach: reach(&self.runtime) };
        change(&self.runtime, &command.request, client.0, deactivate).await
    }

    /// Reactivate a client
    ///
    /// Needs the permission `auth:client:write`.
    #[oai(path = "/v1/auth/clients/:client/reactivate", method = "post", operation_id = "reactivateClient")]
    async fn reactivate(&self, command: Command<Empty>, client: Path<Uuid>) -> ChangeResult {
        let reactivate = ReactivateClient { client: id(&client), reach: reach(&self.runtime) };
        change(&self.runtime, &command.request, client.0, reactivate).await
    }
}
