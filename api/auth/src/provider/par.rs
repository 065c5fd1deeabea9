//! Pushed authorization requests (RFC 9126): a client says beforehand, and not through the browser, what it will ask for. Nothing of it
//! is stored: the reference that it gets is the request itself, sealed. It is good once: what is granted for it has its id.

use auth_aggregates::{ClientId, Grant, GrantId};
use auth_commands::protocol;
use chrono::{DateTime, TimeDelta, Utc};
use poem::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::asked::Asked;
use super::client::{self, State};
use super::error::answer;
use super::form::Form;
use super::{Answer, OAuthError, Provider, Visit};

/// How long a reference is good.
const GOOD_FOR: TimeDelta = TimeDelta::seconds(90);

const PREFIX: &str = "urn:ietf:params:oauth:request_uri:";
const PURPOSE: &str = "auth.pushed_request";

/// The parameter by which a pushed request says which one it is, from page to page: sealed, or anybody would say which grant theirs becomes.
pub(super) const PUSHED: &str = "pushed_request";

const ON_THE_WAY: &str = "auth.pushed_request.on_the_way";

/// What was pushed has expired, or was used.
pub(super) const PUSHED_BEFORE: &str =
    "The request of the application has expired. Go back to the application and start again.";

/// What shows who the client is, and is no part of what it asks for.
const CREDENTIALS: [&str; 3] = ["client_secret", "client_assertion", "client_assertion_type"];

#[derive(Serialize, Deserialize)]
struct Pushed {
    /// Which request it is.
    id: GrantId,
    client: ClientId,
    query: String,
    at: DateTime<Utc>,
}

/// Takes what a client will ask for.
pub async fn push(provider: &Provider, mut visit: Visit) -> Answer {
    let form = Form::read(&visit.form_text().await?)?;
    let client = client::authenticate(provider, &visit, &form).await?;
    if !matches!(client.state, State::Application(_)) {
        return Err(OAuthError::unauthorized_client("a machine can't sign users in"));
    }
    if form.get("request_uri").is_some() {
        return Err(OAuthError::invalid_request("a pushed request can't contain request_uri"));
    }
    let id = client.id.to_string();
    let query = form.without(&[&CREDENTIALS[..], &["client_id", PUSHED]].concat());
    let query = format!("client_id={id}&{query}");
    if let Err(error) = Asked::read(provider, &visit, query.clone()).await? {
        return Err(error.error());
    }
    let id = provider.authority.executor().new_id();
    let pushed = Pushed { id, client: ClientId::new(client.id), query, at: provider.authority.now() };
    let sealed = provider.keep(&visit, PURPOSE, pushed).await?;
    let said = json!({ "request_uri": format!("{PREFIX}{sealed}"), "expires_in": GOOD_FOR.num_seconds() });
    Ok(answer(StatusCode::CREATED, &said))
}

/// What was pushed, if a query refers to it; else the query itself. None: what it refers to is not good, was good for a code before, or is
/// another client's. A page that is loaded again before there is a code is no second use (section 4).
pub(super) async fn pushed(provider: &Provider, visit: &Visit, query: String) -> Result<Option<String>, OAuthError> {
    let Ok(form) = Form::read(&query) else { return Ok(Some(query)) };
    let Some(sealed) = form.get("request_uri").and_then(|uri| uri.strip_prefix(PREFIX)) else { return Ok(Some(query)) };
    let kept: Option<Pushed> = provider.kept(visit, PURPOSE, sealed).await?;
    let client = form.get("client_id").and_then(|id| id.parse().ok());
    let good = kept.filter(|pushed| Some(pushed.client) == client && provider.authority.now() - pushed.at < GOOD_FOR);
    let Some(Pushed { id, query, .. }) = good else { return Ok(None) };
    let caller = protocol(visit.tenant.id, "auth");
    if provider.authority.executor().load::<Grant>(&caller, &id.to_string()).await?.is_some() {
        return Ok(None);
    }
    let which = provider.keep(visit, ON_THE_WAY, id).await?;
    Ok(Some(format!("{query}&{PUSHED}={which}")))
}

/// Which pushed request a query is, by what [`pushed`] added to it. None: that was not us, or is too long ago.
pub(super) async fn which(provider: &Provider, visit: &Visit, text: &str) -> Result<Option<GrantId>, OAuthError> {
    provider.kept(visit, ON_THE_WAY, text).await
}
