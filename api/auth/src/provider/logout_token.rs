//! The logout token that tells a client of the end of a session (OpenID Connect Back-Channel Logout 1.0).

use auth_aggregates::{Algorithm, Client, ClientId, SessionId};
use auth_commands::protocol;
use chrono::TimeDelta;
use kernel::{Refusal, TenantId, UserId};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::authority::{Authority, KnownTenant, claims_at};

/// The `typ` header of logout tokens, so that they are not mistaken for other tokens.
const TYPE: &str = "logout+jwt";

/// The event in a logout token.
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// The lifetime of a logout token: it is sent at once, and each retry makes a new one.
const LIFETIME: TimeDelta = TimeDelta::minutes(2);

/// A request to a client's back-channel logout endpoint.
pub struct LogoutNotice {
    /// The client's `backchannel_logout_uri`.
    pub address: String,
    /// The body, `application/x-www-form-urlencoded`.
    pub body: String,
}

/// The notice that a user's session has ended; without a session, that all of them have. `id`: the token's `jti`, the same when the same
/// notice is sent again. None: the client registered no endpoint, or the tenant does not exist any more.
///
/// # Errors
/// When this process can't sign, or the log can't be read.
pub async fn logout_notice(
    authority: &Authority,
    tenant: TenantId,
    id: Uuid,
    client: ClientId,
    user: UserId,
    session: Option<SessionId>,
) -> Result<Option<LogoutNotice>, Refusal> {
    let found = authority.executor().load::<Client>(&protocol(tenant, "auth"), &client.to_string()).await?;
    let details = found.map(|(client, _)| client.details.clone()).unwrap_or_default();
    let algorithm = details.id_token_signed_response_alg;
    let (Some(address), Some(tenant)) = (details.backchannel_logout_uri, authority.tenant_by_id(tenant).await?) else {
        return Ok(None);
    };
    let token = token(authority, &tenant, id, client, user, session, algorithm.into()).await?;
    let body = url::form_urlencoded::Serializer::new(String::new()).append_pair("logout_token", &token).finish();
    Ok(Some(LogoutNotice { address, body }))
}

/// The signed logout token (section 2.4).
async fn token(
    authority: &Authority,
    tenant: &KnownTenant,
    id: Uuid,
    client: ClientId,
    user: UserId,
    session: Option<SessionId>,
    algorithm: Algorithm,
) -> Result<String, Refusal> {
    let mut said: Map<String, Value> = Map::new();
    said.insert("events".to_owned(), json!({ EVENT: {} }));
    if let Some(session) = session {
        said.insert("sid".to_owned(), session.to_string().into());
    }
    let now = authority.now();
    let mut claims = claims_at(said, now, now + LIFETIME)
        .with_issuer(authority.issuer(&tenant.slug))
        .with_subject(user)
        .with_audience(client);
    claims.jwt_id = Some(id.to_string());
    authority.sign(tenant, algorithm, claims, TYPE).await
}
