//! The authorization endpoint, and the sign-in and consent pages that it leads through (OpenID Connect Core section 3.1.2).

use auth_aggregates::{CodeTerms, GrantKind, GrantTerms, SessionId};
use auth_commands::{GiveConsent, OpenGrant, OpenPushedGrant, protocol};
use chrono::TimeDelta;
use face::Person;
use poem::Response;
use poem::http::{Method, StatusCode, header};
use serde::{Deserialize, Serialize};

use super::account::to_account;
use super::authorization_request::{AuthorizationError, AuthorizationRequest};
use super::browser::{Authentication, BrowserSession};
use super::form::Form;
use super::goal::{self, Goal, Then, from_login};
use super::hint::HintError;
use super::id_token::acr;
use super::pages::{self, Consent, Login};
use super::par::PUSHED_BEFORE;
use super::reauthentication::is_recent;
use super::second_factor::{self, Pending};
use super::{Answer, Provider, Visit, par, passkey, required};
use crate::authority::{Opaque, Use};

/// The lifetime of an authorization code.
const CODE: TimeDelta = TimeDelta::seconds(60);

/// The lifetime of a grant, whether it is refreshed or not.
pub(super) const GRANT: TimeDelta = TimeDelta::days(30);

/// The purposes for which a page's state is sealed.
pub(super) const ON_LOGIN: &str = "auth.page.login";
const ON_CONSENT: &str = "auth.page.consent";

/// The state sealed into the consent page: consent is accepted only from the session that was shown the page.
#[derive(Serialize, Deserialize)]
struct PendingConsent {
    query: String,
    session: SessionId,
}

/// The authorization endpoint: shows the sign-in and consent pages where needed, then redirects back with a code.
pub async fn authorize(provider: &Provider, mut visit: Visit) -> Answer {
    let query = if visit.method == Method::POST { visit.form_text().await? } else { visit.query.clone() };
    if let Some(repeated) = provider.repeated_with_cookies(&visit, "authorize", &query) {
        return Ok(repeated);
    }
    let (query, session) = match goal::resumed(provider, &visit, &query).await? {
        Ok(Some((query, session))) => (Some(query), Some(session)),
        Ok(None) => (par::pushed(provider, &visit, query).await?, None),
        Err(expired) => return Ok(expired),
    };
    let asked = match query {
        Some(query) => AuthorizationRequest::read(provider, &visit, query).await?,
        None => Err(AuthorizationError::Page(PUSHED_BEFORE)),
    };
    let asked = match asked {
        Ok(asked) => asked,
        Err(error) => return Ok(error.answer(&visit)),
    };
    let browser = provider.browser_session(&visit).await?;
    let fresh = browser.as_ref().is_some_and(|browser| session == Some(browser.id) && is_recent(provider, browser));
    proceed(provider, &visit, asked, browser, fresh).await
}

/// The sign-in page without an authorization request.
pub async fn login_page(provider: &Provider, visit: Visit) -> Answer {
    if provider.browser_session(&visit).await?.is_some() {
        return Ok(to_account(&visit));
    }
    show_login(provider, &visit, &Goal::Account, "", None).await
}

/// Handles the sign-in form with login name and password.
pub async fn login(provider: &Provider, mut visit: Visit) -> Answer {
    let (form, goal) = match from_login(provider, &mut visit).await? {
        Ok(sent) => sent,
        Err(answer) => return Ok(answer),
    };
    let name = form.get("login").unwrap_or_default();
    let password = form.get("password").unwrap_or_default();
    let knows = match provider.by_password(&visit, name, password).await? {
        Ok(knows) => knows,
        Err(wrong) => return show_login(provider, &visit, &goal, name, Some(wrong)).await,
    };
    enter(provider, &visit, &knows.person, Authentication::method("pwd", knows.since), goal).await
}

/// Begins a session for a user who has authenticated (`by`), and continues to the goal. A user who has a second factor or must have one,
/// and did not use it, is asked for it first.
pub(super) async fn enter(
    provider: &Provider,
    visit: &Visit,
    person: &Person,
    by: Authentication,
    goal: Goal,
) -> Answer {
    if acr(&by.methods) != "aal2" {
        let account = provider.account(visit, person.id).await?;
        let (has, must) = (account.has_second_factor(), provider.requires_second_factor(visit, person).await?);
        let Authentication { methods, saml, since } = by.clone();
        let pending = Pending { then: goal.then(), user: person.id, session: None, since, methods, saml };
        if has {
            return second_factor::ask(provider, visit, &goal, pending, &account, None).await;
        }
        if must {
            return required::ask(provider, visit, &goal, pending, person).await;
        }
    }
    let (session, cookies) = provider.begin(visit, person, by).await?;
    let mut response = go_on(provider, visit, session, goal).await?;
    cookies.set(&mut response);
    Ok(response)
}

/// Continues to the goal in a session in which the user has just authenticated.
pub(super) async fn go_on(provider: &Provider, visit: &Visit, session: SessionId, goal: Goal) -> Answer {
    match goal {
        Goal::Client(asked) => {
            let browser = provider.session(visit, session).await?;
            proceed(provider, visit, *asked, browser, true).await
        }
        goal => Ok(see_other(&goal.address(provider, visit, session).await?)),
    }
}

/// Handles the user's decision on the consent page.
pub async fn consent(provider: &Provider, mut visit: Visit) -> Answer {
    visit.require_same_origin(provider)?;
    let form = Form::read(&visit.form_text().await?)?;
    let kept: Option<PendingConsent> = provider.open_state(&visit, ON_CONSENT, form.need("pending")?).await?;
    let browser = provider.browser_session(&visit).await?;
    let (Some(kept), Some(browser)) = (kept, browser) else { return Ok(expired(&visit)) };
    if kept.session != browser.id {
        return Ok(expired(&visit));
    }
    let asked = match AuthorizationRequest::read(provider, &visit, kept.query).await? {
        Ok(asked) => asked,
        Err(error) => return Ok(error.answer(&visit)),
    };
    if form.need("decision")? != "allow" {
        return Ok(asked.fails(&visit, "access_denied", "the user denied the request"));
    }
    let give = GiveConsent { user: browser.person.id, client: asked.client, scope: asked.scope.clone() };
    provider.authority.run(&protocol(visit.tenant.id, &browser.person.id.to_string()), &give).await?;
    issue(provider, &visit, &asked, &browser).await
}

/// Continues an authorization request as far as possible: to the sign-in page, the second factor, the consent page, or back with a code.
/// `fresh`: the user has just authenticated.
async fn proceed(
    provider: &Provider,
    visit: &Visit,
    asked: AuthorizationRequest,
    browser: Option<BrowserSession>,
    fresh: bool,
) -> Answer {
    let wants = |prompt: &str| asked.prompt.iter().any(|one| one == prompt);
    let is_old = |browser: &BrowserSession, most: i64| {
        most == 0 || provider.authority.ago(browser.confirmed_at).is_none_or(|ago| ago.num_seconds() > most)
    };
    let too_old = browser.as_ref().is_some_and(|browser| asked.max_age.is_some_and(|most| is_old(browser, most)));
    let hinted = match provider.hinted_user(visit, &asked).await {
        Ok(hinted) => hinted,
        Err(HintError::NoIdToken(text)) => return Ok(asked.fails(visit, "invalid_request", text)),
        Err(HintError::Unknown(error)) => return Err(error),
    };
    let another = browser.as_ref().is_some_and(|browser| !hinted.may_be(&browser.person, fresh));
    if another && fresh {
        return Ok(asked.fails(visit, "login_required", "the user who signed in is not the subject of the ID token"));
    }
    let anew = another || too_old || wants("login") || wants("select_account");
    let Some(browser) = browser.filter(|_| fresh || !anew) else {
        if wants("none") {
            return Ok(asked.fails(visit, "login_required", "the user has to sign in"));
        }
        let hint = asked.login_hint.clone().unwrap_or_default();
        return show_login(provider, visit, &Goal::Client(Box::new(asked)), &hint, None).await;
    };
    // `acr_values` is voluntary (OpenID Connect Core section 5.5.1.1): a user without a second factor is let through.
    if asked.wants_second_factor && acr(&browser.methods) != "aal2" && browser.account.has_second_factor() {
        if wants("none") {
            return Ok(asked.fails(visit, "interaction_required", "the user has to use a second factor"));
        }
        let (then, since) = (Then::Client(asked.query.clone()), provider.moment(&browser.account));
        let (user, session) = (browser.person.id, Some(browser.id));
        let pending = Pending { then, user, session, since, methods: Vec::new(), saml: None };
        let goal = Goal::Client(Box::new(asked));
        return second_factor::ask(provider, visit, &goal, pending, &browser.account, None).await;
    }
    let details = &asked.state.details;
    let consented = details.trusted || browser.account.consented(asked.client, &asked.scope);
    if consented && !wants("consent") {
        return issue(provider, visit, &asked, &browser).await;
    }
    if wants("none") {
        return Ok(asked.fails(visit, "consent_required", "the user has to give consent"));
    }
    let pending = PendingConsent { query: asked.query.clone(), session: browser.id };
    let pending = provider.seal_state(visit, ON_CONSENT, pending).await?;
    Ok(pages::consent(&Consent {
        tenant: &visit.brand,
        client: &details.name,
        person: &browser.person.name,
        action: &format!("/t/{}/consent", visit.tenant.slug),
        pending: &pending,
        scope: &asked.scope,
        leads_to: asked.redirect_uri(),
    }))
}

/// Opens a grant and sends the user back to the client with its authorization code.
async fn issue(provider: &Provider, visit: &Visit, asked: &AuthorizationRequest, browser: &BrowserSession) -> Answer {
    let now = provider.authority.now();
    let terms = GrantTerms {
        session: Some(browser.id),
        code: Some(CodeTerms {
            redirect_uri: asked.redirect_uri().to_owned(),
            challenge: asked.challenge.clone(),
            nonce: asked.nonce.clone(),
            expires_at: now + CODE,
        }),
        consent_era: browser.account.consent_moment(asked.client, now).era,
        shown_at: Some(browser.confirmed_at),
        ..GrantTerms::new(
            GrantKind::AuthorizationCode,
            (asked.client.uuid(), browser.person.id.uuid()),
            asked.scope.clone(),
            now,
            now + GRANT,
        )
    };
    let caller = protocol(visit.tenant.id, &browser.person.id.to_string());
    let opened = match asked.pushed {
        Some(request) => provider.authority.run(&caller, &OpenPushedGrant { request, terms }).await,
        None => provider.authority.run(&caller, &OpenGrant { terms }).await,
    };
    let done = match opened {
        Ok(done) => done,
        Err(refusal) if refusal.code() == "already_exists" => {
            return Ok(AuthorizationError::Page(PUSHED_BEFORE).answer(visit));
        }
        Err(refusal) if refusal.code() == "session_ended" => {
            return Ok(asked.fails(visit, "login_required", "the user was signed out in the meantime"));
        }
        Err(refusal) => return Err(refusal.into()),
    };
    let key = provider.tenant_key(visit).await?;
    let code = Opaque { id: done.answer.uuid(), generation: 0 }.write(visit.tenant.id, Use::Code, &key);
    Ok(asked.succeeds(visit, &code))
}

/// Shows the sign-in page.
pub(super) async fn show_login(
    provider: &Provider,
    visit: &Visit,
    goal: &Goal,
    login: &str,
    error: Option<&str>,
) -> Answer {
    let pending = provider.seal_state(visit, ON_LOGIN, goal.then()).await?;
    let organization = format!("/t/{}/saml", visit.tenant.slug);
    let connected = provider.is_connected(visit).await?;
    // A link beside the form: if it can't be determined, people can still sign in.
    let register = provider.registers_at(visit).await.unwrap_or_else(|error| {
        tracing::warn!(?error, "it can't be told whether people may register");
        None
    });
    let passkey = passkey::form(provider, visit, passkey::PasskeyPurpose::Anybody(goal.then()), None).await?;
    Ok(pages::login(&Login {
        tenant: &visit.brand,
        client: goal.client(),
        action: &format!("/t/{}/login", visit.tenant.slug),
        forgot: &format!("/t/{}/forgot", visit.tenant.slug),
        register: register.as_deref(),
        organization: connected.then_some(organization.as_str()),
        pending: &pending,
        name: login,
        error,
        passkey: passkey.as_ref(),
        leads_to: goal.leads_to(),
    }))
}

/// A redirect by GET (303), so that the browser does not resend its form.
pub(super) fn see_other(location: &str) -> Response {
    Response::builder()
        .status(StatusCode::SEE_OTHER)
        .header(header::LOCATION, location)
        .header(header::CACHE_CONTROL, "no-store")
        .header("referrer-policy", "no-referrer")
        .finish()
}

pub(super) fn expired(visit: &Visit) -> Response {
    let text = "This page was open for too long, or you signed in again in the meantime. Go back to the application and start again.";
    pages::message(&visit.brand, StatusCode::BAD_REQUEST, "This page has expired", text)
}
