//! Single logout. A user who signs out here is redirected to their identity provider, to be signed out there as well; an identity provider
//! at which a user signs out sends their browser here. Both directions use signed messages in redirects or forms, and a request ends the
//! session of the browser that brings it.

use auth_aggregates::{EndReason, SamlConnectionId, SamlSignIn, Session, SessionId};
use auth_commands::{EndSession, protocol};
use chrono::{DateTime, TimeDelta, Utc};
use poem::Response;
use poem::http::{Method, StatusCode};
use saml::{
    DecryptionKey, Delivery, Fault, LogoutAnswer, LogoutContext, LogoutMessage, LogoutRequest, NameId, PostedLogout,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Connection, PATIENCE, SENT_ON, unusable};
use crate::authority::{Opaque, Use};
use crate::provider::attempts::AttemptTarget;
use crate::provider::authorize::{expired, see_other};
use crate::provider::browser::Cookies;
use crate::provider::form::Form;
use crate::provider::{Answer, OAuthError, Provider, Visit, pages};

/// The purpose for which the state is sealed, and the name of its cookie.
const ON_LEAVING: &str = "auth.saml.leaving";
const LEAVING: &str = "inopsio-saml-out";

/// The purpose for which a posted message is sealed.
const ON_LOGOUT: &str = "auth.saml.logout";

/// The limit for a form with a logout message, in bytes.
const LONGEST_FORM: usize = 64 << 10;

/// The state of a logout request of ours, sealed into a cookie of the browser that was redirected.
#[derive(Serialize, Deserialize)]
struct PendingLogout {
    request: Uuid,
    connection: SamlConnectionId,
    /// Where the user continues after the logout.
    then: Option<String>,
}

/// A verified message from a form, sealed into the address that the browser is redirected to.
#[derive(Serialize, Deserialize)]
struct VerifiedMessage {
    connection: SamlConnectionId,
    message: LogoutMessage,
    /// When it was verified.
    at: DateTime<Utc>,
}

/// The titles of the pages for a user who is signed out, and for one whose session is not the one that the provider wants to end.
const SIGNED_OUT: &str = "You are signed out";
const STILL_SIGNED_IN: &str = "You are still signed in";

/// The effect of a logout request on the session of the browser that brings it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SessionOutcome {
    /// The session was ended.
    Ended,
    /// The browser had no session by this identity provider.
    Nothing,
    /// The session continues, as the request does not identify it. That includes sessions from before the name ID was stored.
    GoesOn,
}

/// The single logout service for messages in a redirect.
pub async fn single_logout(provider: &Provider, visit: Visit) -> Answer {
    let connection = provider.named_connection(&visit).await?;
    let key = provider.authority.saml_decryption(visit.tenant.id).await?;
    let heard = provider.saml.read_logout(&visit.query, &logout_context(provider, &connection, key.as_deref()));
    match heard {
        Ok(message) => process(provider, &visit, &connection, message).await,
        Err(fault) => refuse(provider, &visit, &fault).await,
    }
}

/// The single logout service for messages in a form. The browser posts it from the identity provider's site, without our cookies; so it is
/// redirected by GET to our own site, which gets them.
pub async fn posted_logout(provider: &Provider, mut visit: Visit) -> Answer {
    let connection = provider.named_connection(&visit).await?;
    let form = Form::read(&visit.form_text_within(LONGEST_FORM).await?)?;
    let key = provider.authority.saml_decryption(visit.tenant.id).await?;
    let posted = PostedLogout {
        request: form.get("SAMLRequest"),
        response: form.get("SAMLResponse"),
        relay_state: form.get("RelayState"),
    };
    let heard = provider.saml.read_posted_logout(&posted, &logout_context(provider, &connection, key.as_deref()));
    let message = match heard {
        Ok(message) => message,
        Err(fault) => return refuse(provider, &visit, &fault).await,
    };
    let heard = VerifiedMessage { connection: connection.id, message, at: provider.authority.now() };
    let sealed = provider.seal_state(&visit, ON_LOGOUT, heard).await?;
    Ok(see_other(&format!("/t/{}/saml/{}/slo/finish?said={sealed}", visit.tenant.slug, connection.id)))
}

/// Processes a posted message, in the request that has the browser's cookies.
pub async fn finish_logout(provider: &Provider, visit: Visit) -> Answer {
    let connection = provider.named_connection(&visit).await?;
    let form = Form::read(&visit.query)?;
    let heard: Option<VerifiedMessage> = provider.open_state(&visit, ON_LOGOUT, form.need("said")?).await?;
    let now = provider.authority.now();
    match heard.filter(|heard| heard.connection == connection.id && now - heard.at < SENT_ON) {
        Some(heard) => process(provider, &visit, &connection, heard.message).await,
        None => Ok(expired(&visit)),
    }
}

/// The context in which a logout message of a connection is verified.
fn logout_context<'c>(
    provider: &Provider,
    connection: &'c Connection,
    key: Option<&'c DecryptionKey>,
) -> LogoutContext<'c> {
    let (now, skew) = (provider.authority.now(), provider.authority.settings().leeway);
    LogoutContext { own: &connection.own, provider: &connection.provider, key, now, skew }
}

/// Processes a verified logout message.
async fn process(provider: &Provider, visit: &Visit, connection: &Connection, message: LogoutMessage) -> Answer {
    let (id, target, relay_state) = match message {
        LogoutMessage::Answered { to, done } => return back(provider, visit, connection, &to, done).await,
        LogoutMessage::Asked { id, at, name, sessions, relay_state } => {
            (id, LogoutTarget { at, name, sessions }, relay_state)
        }
    };
    let outcome = end(provider, visit, connection, &target).await?;
    let done = outcome != SessionOutcome::GoesOn;
    let answer = logout_response(provider, visit, connection, (&id, relay_state.as_deref()), done).await?;
    let mut response = match answer {
        Some(Delivery::Redirect(url)) => see_other(&url),
        Some(Delivery::Post(form)) => {
            let title = if done { SIGNED_OUT } else { STILL_SIGNED_IN };
            pages::post_to_provider(&visit.brand, (title, "Continue to tell your organization."), &form)
        }
        None if done => signed_out(visit, true),
        None => {
            let text = "Your organization asked to end another session. Sign out here to end this one.";
            pages::message(&visit.brand, StatusCode::OK, STILL_SIGNED_IN, text)
        }
    };
    if outcome == SessionOutcome::Ended {
        provider.no_session(visit).set(&mut response);
    }
    Ok(response)
}

/// Shows why a message was refused, and records the refusal once.
async fn refuse(provider: &Provider, visit: &Visit, fault: &Fault) -> Answer {
    provider.attempts.refused(&AttemptTarget::new(visit.tenant.id, "saml", visit.address))?;
    provider.note_refused(visit, None, fault.code()).await?;
    let text = format!("{} ({})", crate::provider::error::sentence(&fault.to_string()), fault.code());
    Ok(pages::message(&visit.brand, StatusCode::FORBIDDEN, "Sign-out failed", &text))
}

/// The logout response to a request; none: the identity provider's metadata has no address for it. `done`: whether the user is signed out
/// here.
async fn logout_response(
    provider: &Provider,
    visit: &Visit,
    connection: &Connection,
    (to, relay_state): (&str, Option<&str>),
    done: bool,
) -> Result<Option<Delivery>, OAuthError> {
    let told = &connection.provider;
    if told.sign_out_url.is_none() && told.sign_out_answer_url.is_none() {
        return Ok(None);
    }
    let at = provider.authority.now();
    let id = format!("_{}", provider.request_id(at)?.simple());
    let (signing, _) = provider.authority.saml_key(&visit.tenant).await?;
    let answering = LogoutAnswer { id: &id, at, to, done, relay_state };
    let answer = provider.saml.answer_sign_out(&connection.own, told, &answering, &signing);
    Ok(Some(answer.map_err(|fault| unusable(&fault))?))
}

/// The session that a logout request identifies.
struct LogoutTarget {
    /// When the request was issued.
    at: DateTime<Utc>,
    name: NameId,
    /// The session indexes at the identity provider; empty: all of its sessions.
    sessions: Vec<String>,
}

/// Ends the session of this browser, if the logout request identifies it.
async fn end(
    provider: &Provider,
    visit: &Visit,
    connection: &Connection,
    LogoutTarget { at, name, sessions }: &LogoutTarget,
) -> Result<SessionOutcome, OAuthError> {
    let Some(browser) = provider.any_browser_session(visit).await? else { return Ok(SessionOutcome::Nothing) };
    let Some((saml, began)) = signed_in_by(provider, visit, browser.id).await? else {
        return Ok(SessionOutcome::Nothing);
    };
    if saml.connection != connection.id {
        return Ok(SessionOutcome::Nothing);
    }
    // A request about another user must not end it, nor an old request that was kept from before the session began.
    let is_theirs = saml.name.as_ref().is_some_and(|known| *known.value.reveal() == name.value);
    let is_meant = sessions.is_empty() || saml.session.as_ref().is_some_and(|session| sessions.contains(session));
    if !is_theirs || !is_meant || began > *at + provider.authority.settings().leeway {
        return Ok(SessionOutcome::GoesOn);
    }
    let end = EndSession { session: browser.id, reason: EndReason::SignedOut };
    provider.authority.run(&protocol(visit.tenant.id, "auth"), &end).await?;
    Ok(SessionOutcome::Ended)
}

/// The assertion by which the user of a session signed in, and when the session began; none: no identity provider signed them in.
async fn signed_in_by(
    provider: &Provider,
    visit: &Visit,
    session: SessionId,
) -> Result<Option<(SamlSignIn, DateTime<Utc>)>, OAuthError> {
    let caller = protocol(visit.tenant.id, "auth");
    let found = provider.authority.executor().load::<Session>(&caller, &session.to_string()).await?;
    Ok(found.and_then(|(session, _)| {
        let started = session.started.as_ref()?;
        Some((started.saml.clone()?, started.at))
    }))
}

/// The logout request to the identity provider of a session that was ended here, and the cookie with its state; none: no identity provider
/// signed the user in, or it offers no single logout.
pub(in crate::provider) async fn logout_request(
    provider: &Provider,
    visit: &Visit,
    session: SessionId,
    then: Option<&str>,
) -> Result<Option<(Delivery, Cookies)>, OAuthError> {
    let Some((saml, _)) = signed_in_by(provider, visit, session).await? else { return Ok(None) };
    let Some(name) = &saml.name else { return Ok(None) };
    // A connection that was deactivated in the meantime gets no request.
    let Some(connection) = provider.active_connection(visit, saml.connection).await? else { return Ok(None) };
    if connection.provider.sign_out_url.is_none() {
        return Ok(None);
    }
    let at = provider.authority.now();
    let request = provider.request_id(at)?;
    let left = PendingLogout { request, connection: connection.id, then: then.map(str::to_owned) };
    let cookie = provider.seal_state(visit, ON_LEAVING, left).await?;
    if cookie.len() > super::LONGEST_COOKIE {
        return Ok(None);
    }
    let key = provider.tenant_key(visit).await?;
    let id = Opaque { id: request, generation: 0 }.write(visit.tenant.id, Use::SamlRequest, &key);
    let (signing, _) = provider.authority.saml_key(&visit.tenant).await?;
    let name = NameId { value: name.value.reveal().clone(), format: name.format.clone() };
    let leaving = LogoutRequest { id: &id, at, name: &name, session: saml.session.as_deref() };
    let asked = provider.saml.ask_to_sign_out(&connection.own, &connection.provider, &leaving, &signing);
    let cookie = provider.cookie(visit, LEAVING, &cookie, PATIENCE);
    Ok(Some((asked.map_err(|fault| unusable(&fault))?, Cookies::of(cookie))))
}

/// Sends the browser to the identity provider with a logout request.
pub(in crate::provider) fn to_identity_provider(visit: &Visit, asked: &Delivery) -> Response {
    match asked {
        // The pages' policy for forms (CSP) forbids a redirect to another site after a form, so a page leads there.
        Delivery::Redirect(url) if visit.method == Method::POST => pages::to_provider_after_sign_out(&visit.brand, url),
        Delivery::Redirect(url) => see_other(url),
        Delivery::Post(form) => {
            let text = "You are signed out here. Continue to be signed out of your organization, too.";
            pages::post_to_provider(&visit.brand, ("Sign out of your organization", text), form)
        }
    }
}

/// Handles the identity provider's logout response: the session here was ended before the request.
async fn back(provider: &Provider, visit: &Visit, connection: &Connection, to: &str, done: bool) -> Answer {
    let left: Option<PendingLogout> = match visit.cookie(&provider.cookie_name(visit, LEAVING)) {
        Some(cookie) => provider.open_state(visit, ON_LEAVING, cookie).await?,
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
    pages::message(&visit.brand, StatusCode::OK, SIGNED_OUT, text)
}
