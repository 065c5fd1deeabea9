//! Signing out, by the user or at a client's request (OpenID Connect RP-Initiated Logout 1.0).

use auth_aggregates::{Client, ClientId, EndReason, SessionId};
use auth_commands::{EndSession, protocol};
use poem::http::{Method, StatusCode};
use serde::{Deserialize, Serialize};

use super::authorize::see_other;
use super::form::Form;
use super::{Answer, OAuthError, Provider, Visit, pages, saml};

const ON_LOGOUT: &str = "auth.page.logout";

/// The state sealed into the page that asks for confirmation.
#[derive(Serialize, Deserialize)]
struct PendingLogout {
    session: SessionId,
    then: Option<String>,
}

/// The end-session endpoint: ends the browser's session, after asking the user unless the client proves by an ID token that it belongs to
/// the session.
pub async fn logout(provider: &Provider, mut visit: Visit) -> Answer {
    let text = if visit.method == Method::POST { visit.form_text().await? } else { visit.query.clone() };
    let form = Form::read(&text)?;
    let browser = provider.any_browser_session(&visit).await?;
    if let (&Method::POST, Some(pending)) = (&visit.method, form.get("pending")) {
        visit.require_same_origin(provider)?;
        let leaving: Option<PendingLogout> = provider.open_state(&visit, ON_LOGOUT, pending).await?;
        return match (leaving, browser) {
            (Some(leaving), Some(browser)) if leaving.session == browser.id => {
                sign_out(provider, &visit, Some(browser.id), leaving.then).await
            }
            _ => sign_out(provider, &visit, None, None).await,
        };
    }
    if let Some(repeated) = provider.repeated_with_cookies(&visit, "logout", &text) {
        return Ok(repeated);
    }
    let hint = match form.get("id_token_hint") {
        Some(token) => provider.id_token_hint(&visit, token).await?,
        None => None,
    };
    let named = form.get("client_id").map(str::parse::<ClientId>);
    if let (Some(hint), Some(named)) = (&hint, &named)
        && named.as_ref().ok() != Some(&hint.client)
    {
        // Otherwise one client's ID token would authorize a redirect to another client's address (section 2).
        return Err(OAuthError::invalid_request("client_id is not the client for which id_token_hint was issued"));
    }
    let client = hint.as_ref().map(|hint| hint.client).or_else(|| named.and_then(Result::ok));
    let then = leads_to(provider, &visit, &form, client).await?;
    let Some(browser) = browser else { return sign_out(provider, &visit, None, then).await };
    let known = match hint.and_then(|hint| hint.session) {
        Some(named) => provider.continues(&visit, browser.id, named).await?,
        None => false,
    };
    if known {
        // The ID token of this very session, or of one that it replaced, shows that the request is not a stranger's link.
        return sign_out(provider, &visit, Some(browser.id), then).await;
    }
    let pending = PendingLogout { session: browser.id, then: then.clone() };
    let pending = provider.seal_state(&visit, ON_LOGOUT, pending).await?;
    let action = format!("/t/{}/logout", visit.tenant.slug);
    Ok(pages::confirm_sign_out(&visit.brand, &action, &pending, then.as_deref()))
}

/// The address to redirect to afterwards: `post_logout_redirect_uri`, which the client must have registered, with `state`.
async fn leads_to(
    provider: &Provider,
    visit: &Visit,
    form: &Form,
    client: Option<ClientId>,
) -> Result<Option<String>, OAuthError> {
    let Some(wanted) = form.get("post_logout_redirect_uri") else { return Ok(None) };
    let unknown = || OAuthError::invalid_request("post_logout_redirect_uri is not one that this client registered");
    let client = client.ok_or_else(unknown)?;
    let caller = protocol(visit.tenant.id, "auth");
    let found = provider.authority.executor().load::<Client>(&caller, &client.to_string()).await?;
    // A deactivated client leads nobody to its addresses any more, at sign-out as at sign-in.
    let found = found.filter(|(state, _)| state.active);
    let registered =
        found.is_some_and(|(state, _)| state.details.post_logout_redirect_uris.iter().any(|uri| uri == wanted));
    if !registered {
        return Err(unknown());
    }
    let state = form.get("state").map(|state| {
        let join = if wanted.contains('?') { '&' } else { '?' };
        format!("{join}{}", url::form_urlencoded::Serializer::new(String::new()).append_pair("state", state).finish())
    });
    Ok(Some(format!("{wanted}{}", state.unwrap_or_default())))
}

async fn sign_out(provider: &Provider, visit: &Visit, session: Option<SessionId>, then: Option<String>) -> Answer {
    let mut away = None;
    if let Some(session) = session {
        let end = EndSession { session, reason: EndReason::SignedOut };
        provider.authority.run(&protocol(visit.tenant.id, "auth"), &end).await?;
        // The sign-out here stands, even if the identity provider can't be reached.
        away = saml::logout_request(provider, visit, session, then.as_deref()).await.unwrap_or_else(|error| {
            tracing::warn!(?error, "somebody who signed out can't be signed out at their identity provider");
            None
        });
    }
    let mut response = match (&away, then) {
        (Some((asked, _)), _) => saml::to_identity_provider(visit, asked),
        (None, Some(then)) => see_other(&then),
        (None, None) => {
            let (text, login) = ("You can close this page.", format!("/t/{}/login", visit.tenant.slug));
            let again = (login.as_str(), "Sign in again");
            pages::message_with_link(&visit.brand, StatusCode::OK, "You are signed out", text, again)
        }
    };
    if let Some((_, cookies)) = away {
        cookies.set(&mut response);
    }
    provider.no_session(visit).set(&mut response);
    Ok(response)
}
