//! Signing out at both sides (single logout): who signs out here is sent to their provider, to be signed out there, too; and who signs out there
//! is brought here by their browser. Both are requests in addresses, signed; the session that ends is that of the browser that brings it.

use auth_aggregates::{EndReason, SamlConnectionId, SamlSignIn, Session, SessionId};
use auth_commands::{EndSession, protocol};
use chrono::TimeDelta;
use poem::Response;
use poem::http::StatusCode;
use saml::{Answering, Farewell, Leaving, NameId, Parting};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Connection, PATIENCE, unusable};
use crate::authority::{Opaque, Use};
use crate::provider::attempts::Aim;
use crate::provider::authorize::see_other;
use crate::provider::browser::Cookies;
use crate::provider::{Answer, OAuthError, Provider, Visit, pages};

/// For what something is sealed, and the cookie that has it.
const ON_LEAVING: &str = "auth.saml.leaving";
const LEAVING: &str = "inopsio-saml-out";

/// What is kept of a request to sign somebody out, in a cookie of the browser that was sent away.
#[derive(Serialize, Deserialize)]
struct Left {
    request: Uuid,
    connection: SamlConnectionId,
    /// Where they go afterwards.
    then: Option<String>,
}

/// What is said of who goes on.
const NOT_THIS: &str = "You are signed in otherwise than your organization says";

/// What became of the session of a browser that brings a request to end it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Became {
    /// It ended.
    Ended,
    /// There was none by that provider.
    Nothing,
    /// It is not the one that was meant, as far as is known: one from before names were kept is none.
    GoesOn,
}

/// Takes what a provider asks, or answers, about signing out.
pub async fn single_logout(provider: &Provider, visit: Visit) -> Answer {
    let connection = provider.named_connection(&visit).await?;
    let parting = Parting {
        own: &connection.own,
        provider: &connection.provider,
        now: provider.authority.now(),
        skew: provider.authority.settings().leeway,
    };
    match provider.saml.hear(&visit.query, &parting) {
        Ok(Farewell::Asked { id, name, sessions, relay_state }) => {
            let became = end(provider, &visit, &connection, &name, &sessions).await?;
            let done = became != Became::GoesOn;
            let answer = answered(provider, &visit, &connection, (&id, relay_state.as_deref()), done).await?;
            let mut response = match answer {
                Some(url) => see_other(&url),
                None if done => signed_out(&visit, true),
                None => pages::message(&visit.brand, StatusCode::OK, NOT_THIS, "Sign out here to end it."),
            };
            if became == Became::Ended {
                provider.no_session(&visit).set(&mut response);
            }
            Ok(response)
        }
        Ok(Farewell::Answered { to, done }) => back(provider, &visit, &connection, &to, done).await,
        Err(fault) => {
            provider.attempts.refused(&Aim::new(visit.tenant.id, "saml", visit.address))?;
            provider.note_refused(&visit, None, fault.code()).await?;
            let text = format!("{} ({})", crate::provider::error::sentence(&fault.to_string()), fault.code());
            Ok(pages::message(&visit.brand, StatusCode::FORBIDDEN, "You are not signed out by this", &text))
        }
    }
}

/// The address where the provider hears whether nobody is signed in here any more of whom it asked that; none: its metadata has none.
async fn answered(
    provider: &Provider,
    visit: &Visit,
    connection: &Connection,
    (to, relay_state): (&str, Option<&str>),
    done: bool,
) -> Result<Option<String>, OAuthError> {
    let told = &connection.provider;
    if told.sign_out_url.is_none() && told.sign_out_answer_url.is_none() {
        return Ok(None);
    }
    let at = provider.authority.now();
    let id = format!("_{}", provider.request_id(at)?.simple());
    let (signing, _) = provider.authority.saml_key(&visit.tenant).await?;
    let answering = Answering { id: &id, at, to, done, relay_state };
    let url = provider.saml.answer_sign_out(&connection.own, told, &answering, &signing);
    Ok(Some(url.map_err(|fault| unusable(&fault))?))
}

/// Ends the session that this browser has, if it is one of those that the provider means.
async fn end(
    provider: &Provider,
    visit: &Visit,
    connection: &Connection,
    name: &NameId,
    sessions: &[String],
) -> Result<Became, OAuthError> {
    let Some(somebody) = provider.somebody_at_all(visit).await? else { return Ok(Became::Nothing) };
    let saml = signed_in_by(provider, visit, somebody.id).await?;
    let Some(saml) = saml.filter(|saml| saml.connection == connection.id) else { return Ok(Became::Nothing) };
    // Somebody else's request is no way to sign these out.
    let is_theirs = saml.name.as_ref().is_some_and(|known| *known.value.reveal() == name.value);
    let is_meant = sessions.is_empty() || saml.session.as_ref().is_some_and(|session| sessions.contains(session));
    if !is_theirs || !is_meant {
        return Ok(Became::GoesOn);
    }
    let end = EndSession { session: somebody.id, reason: EndReason::SignedOut };
    provider.authority.run(&protocol(visit.tenant.id, "auth"), &end).await?;
    Ok(Became::Ended)
}

/// By what an identity provider signed somebody in; none: they showed it to us.
async fn signed_in_by(
    provider: &Provider,
    visit: &Visit,
    session: SessionId,
) -> Result<Option<SamlSignIn>, OAuthError> {
    let caller = protocol(visit.tenant.id, "auth");
    let found = provider.authority.executor().load::<Session>(&caller, &session.to_string()).await?;
    Ok(found.and_then(|(session, _)| session.started.as_ref()?.saml.clone()))
}

/// Where somebody who leaves is sent first, so that their provider signs them out, too, and the cookie that says where they go then; none: no
/// provider signed them in, or it signs nobody out.
pub(in crate::provider) async fn leaving(
    provider: &Provider,
    visit: &Visit,
    session: SessionId,
    then: Option<&str>,
) -> Result<Option<(String, Cookies)>, OAuthError> {
    let Some(saml) = signed_in_by(provider, visit, session).await? else { return Ok(None) };
    let Some(name) = &saml.name else { return Ok(None) };
    // One that was deactivated meanwhile is asked for nothing.
    let Some(connection) = provider.active_connection(visit, saml.connection).await? else { return Ok(None) };
    if connection.provider.sign_out_url.is_none() {
        return Ok(None);
    }
    let at = provider.authority.now();
    let request = provider.request_id(at)?;
    let left = Left { request, connection: connection.id, then: then.map(str::to_owned) };
    let cookie = provider.keep(visit, ON_LEAVING, left).await?;
    if cookie.len() > super::LONGEST_COOKIE {
        return Ok(None);
    }
    let key = provider.tenant_key(visit).await?;
    let id = Opaque { id: request, generation: 0 }.write(visit.tenant.id, Use::SamlRequest, &key);
    let (signing, _) = provider.authority.saml_key(&visit.tenant).await?;
    let name = NameId { value: name.value.reveal().clone(), format: name.format.clone() };
    let leaving = Leaving { id: &id, at, name: &name, session: saml.session.as_deref() };
    let url = provider.saml.ask_to_sign_out(&connection.own, &connection.provider, &leaving, &signing);
    let cookie = provider.cookie(visit, LEAVING, &cookie, PATIENCE);
    Ok(Some((url.map_err(|fault| unusable(&fault))?, Cookies::of(cookie))))
}

/// Somebody is back from their provider: they are signed out here since they left.
async fn back(provider: &Provider, visit: &Visit, connection: &Connection, to: &str, done: bool) -> Answer {
    let left: Option<Left> = match visit.cookie(&provider.cookie_name(visit, LEAVING)) {
        Some(cookie) => provider.kept(visit, ON_LEAVING, cookie).await?,
        None => None,
    };
    let key = provider.tenant_key(visit).await?;
    let asked = Opaque::read(to, visit.tenant.id, Use::SamlRequest, &key).map(|said| said.id);
    let left = left.filter(|left| left.connection == connection.id && Some(left.request) == asked);
    let mut response = match left.and_then(|left| left.then) {
        Some(then) if done => see_other(&then),
        _ => signed_out(visit, done),
    };
    Cookies::of(provider.cookie(visit, LEAVING, "", TimeDelta::zero())).set(&mut response);
    Ok(response)
}

fn signed_out(visit: &Visit, done: bool) -> Response {
    let text = if done {
        "You can close this page."
    } else {
        "Your organization did not sign you out everywhere else. Close your browser, or sign out there."
    };
    pages::message(&visit.brand, StatusCode::OK, "You are signed out", text)
}
