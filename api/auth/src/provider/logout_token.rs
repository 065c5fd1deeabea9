//! What a client is told when somebody's session has ended, and where (OpenID Connect Back-Channel Logout 1.0).

use auth_aggregates::{Algorithm, Client, ClientId, SessionId};
use auth_commands::protocol;
use chrono::TimeDelta;
use kernel::{Refusal, TenantId, UserId};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::authority::{Authority, KnownTenant, claims_at};

/// The type that a logout token says it has, so that it is taken for nothing else.
const TYPE: &str = "logout+jwt";

/// What happened, in a logout token.
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// How long a token is good for: it is sent at once, and made anew each time.
const LIFETIME: TimeDelta = TimeDelta::minutes(2);

/// What a client is told.
pub struct LogoutNotice {
    /// Where.
    pub address: String,
    /// A form, `application/x-www-form-urlencoded`.
    pub body: String,
}

/// That a session of a user has ended; without one, all of theirs. `id`: the same for the same notice. None: the client, or the tenant, wants
/// to know nothing.
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

/// The token (section 2.4).
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
