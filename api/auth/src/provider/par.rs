//! Pushed authorization requests (RFC 9126): a client sends its authorization request directly, not through the browser. We store nothing:
//! the `request_uri` that it gets is the sealed request itself. It works once, for the grant that it leads to gets the request's id.

use auth_aggregates::{ClientId, Grant, GrantId};
use auth_commands::protocol;
use chrono::{DateTime, TimeDelta, Utc};
use poem::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::authorization_request::AuthorizationRequest;
use super::client::{self, ClientState};
use super::error::answer;
use super::form::Form;
use super::{Answer, OAuthError, Provider, Visit};

/// The lifetime of a `request_uri`.
const GOOD_FOR: TimeDelta = TimeDelta::seconds(90);

const PREFIX: &str = "urn:ietf:params:oauth:request_uri:";
const PURPOSE: &str = "auth.pushed_request";

/// The query parameter that carries the id of a pushed request from page to page. It is sealed: otherwise anybody could choose the id of
/// their grant.
pub(super) const PUSHED: &str = "pushed_request";

const ON_THE_WAY: &str = "auth.pushed_request.on_the_way";

/// The text for a pushed request that has expired or was used.
pub(super) const PUSHED_BEFORE: &str =
    "The request of the application has expired. Go back to the application and start again.";

/// The parameters of client authentication, which are not part of the authorization request.
pub(super) const CREDENTIALS: [&str; 3] = ["client_secret", "client_assertion", "client_assertion_type"];

#[derive(Serialize, Deserialize)]
struct Pushed {
    /// The id of the request.
    id: GrantId,
    client: ClientId,
    query: String,
    at: DateTime<Utc>,
}

/// The pushed authorization request endpoint.
pub async fn push(provider: &Provider, mut visit: Visit) -> Answer {
    let form = Form::read(&visit.form_text().await?)?;
    let client = client::authenticate(provider, &visit, &form).await?;
    if !matches!(client.state, ClientState::Application(_)) {
        return Err(OAuthError::unauthorized_client("a machine can't sign users in"));
    }
    if form.get("request_uri").is_some() {
        return Err(OAuthError::invalid_request("a pushed request can't contain request_uri"));
    }
    let id = client.id.to_string();
    let query = form.without(&[&CREDENTIALS[..], &["client_id", PUSHED]].concat());
    let query = format!("client_id={id}&{query}");
    if let Err(error) = AuthorizationRequest::read(provider, &visit, query.clone()).await? {
        return Err(error.error());
    }
    let id = provider.authority.executor().new_id();
    let pushed = Pushed { id, client: ClientId::new(client.id), query, at: provider.authority.now() };
    let sealed = provider.seal_state(&visit, PURPOSE, pushed).await?;
    let said = json!({ "request_uri": format!("{PREFIX}{sealed}"), "expires_in": GOOD_FOR.num_seconds() });
    Ok(answer(StatusCode::CREATED, &said))
}

/// Replaces a query that refers to a pushed request by that request; returns any other query as it is. None: the reference is invalid or
/// has expired, has led to a code before, or is another client's. Reloading the page before a code was issued is no second use (section 4).
pub(super) async fn pushed(provider: &Provider, visit: &Visit, query: String) -> Result<Option<String>, OAuthError> {
    let Ok(form) = Form::read(&query) else { return Ok(Some(query)) };
    let Some(sealed) = form.get("request_uri").and_then(|uri| uri.strip_prefix(PREFIX)) else { return Ok(Some(query)) };
    let kept: Option<Pushed> = provider.open_state(visit, PURPOSE, sealed).await?;
    let client = form.get("client_id").and_then(|id| id.parse().ok());
    let good = kept.filter(|pushed| Some(pushed.client) == client && provider.authority.now() - pushed.at < GOOD_FOR);
    let Some(Pushed { id, query, .. }) = good else { return Ok(None) };
    let caller = protocol(visit.tenant.id, "auth");
    if provider.authority.executor().load::<Grant>(&caller, &id.to_string()).await?.is_some() {
        return Ok(None);
    }
    let which = provider.seal_state(visit, ON_THE_WAY, id).await?;
    Ok(Some(format!("{query}&{PUSHED}={which}")))
}

/// The id of the pushed request, from the parameter that [`pushed`] added to its query. None: the parameter is not ours, or has expired.
pub(super) async fn which(provider: &Provider, visit: &Visit, text: &str) -> Result<Option<GrantId>, OAuthError> {
    provider.open_state(visit, ON_THE_WAY, text).await
}
