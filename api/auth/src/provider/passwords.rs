//! Setting a password: a new one for who forgot theirs, by a mailed link, and another one for who is signed in.

use auth_aggregates::By;
use auth_commands::{RequestPasswordReset, SetPassword, protocol};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use face::Person;
use kernel::{Refusal, TenantId, UserId};
use keys::Context;
use poem::Response;
use poem::http::StatusCode;

use super::attempts::AttemptTarget;
use super::authorize::enter;
use super::browser::{Cookies, ShownBy, unavailable};
use super::error::sentence;
use super::form::Form;
use super::goal::Goal;
use super::pages::{self, ChangePassword, NewPassword};
use super::{Answer, OAuthError, Provider, Visit};
use crate::authority::{Authority, KnownTenant, Opaque, Use};

/// What is said of every old password that is not the one of now.
const NOT_PRESENT: &str = "This is not your current password.";

/// The page of who forgot their password.
pub async fn forgot_page(_: &Provider, visit: Visit) -> Answer {
    Ok(pages::forgot(&visit.brand, &format!("/t/{}/forgot", visit.tenant.slug)))
}

/// Somebody forgot their password: they are mailed a link, if there is somebody of that name.
pub async fn forgot(provider: &Provider, mut visit: Visit) -> Answer {
    visit.of_our_page(provider)?;
    // Whoever knows many addresses must not have us mail to all of them, nor keep their neighbours from asking.
    let browser = provider.known_to(&visit).await?;
    let target =
        AttemptTarget { browser, ..AttemptTarget::new(visit.tenant.id, "a forgotten password", visit.address) };
    provider.attempts.begin(&target)?;
    let form = Form::read(&visit.form_text().await?)?;
    let login = form.get("login").unwrap_or_default().trim().to_owned();
    let answer = pages::message(
        &visit.brand,
        StatusCode::OK,
        "Check your mail",
        "If there is a user with that name, we have sent them a link to set a new password. It is valid for an hour.",
    );
    let request = |provider| async move { request_reset(&provider, &visit, &login).await };
    provider.beside_the_answer("a link to set a password", request);
    Ok(answer)
}

async fn request_reset(provider: &Provider, visit: &Visit, login: &str) -> Result<(), OAuthError> {
    let Some(people) = provider.authority.people() else { return Ok(()) };
    let person = people.by_login(visit.tenant.id, login).await.map_err(unavailable)?;
    let Some(person) = person.filter(|person| person.may_sign_in) else { return Ok(()) };
    if !provider.account(visit, person.id).await?.opens_by_mail(person.email_verified) {
        return Ok(());
    }
    let request = RequestPasswordReset { user: person.id };
    provider.authority.run(&protocol(visit.tenant.id, "auth"), &request).await?;
    Ok(())
}

/// The page of a link to set a password.
pub async fn link_page(provider: &Provider, visit: Visit) -> Answer {
    let query = Form::read(&visit.query)?;
    let token = query.get("token").unwrap_or_default().to_owned();
    match named_by(provider, &visit, &token).await? {
        Some(named) => Ok(show(&visit, &named.person, &token, None)),
        None => Ok(used(&visit)),
    }
}

/// Somebody who followed a link sets their password.
pub async fn by_link(provider: &Provider, mut visit: Visit) -> Answer {
    visit.of_our_page(provider)?;
    let form = Form::read(&visit.form_text().await?)?;
    let token = form.get("token").unwrap_or_default();
    let Some(Named { person, email, turn }) = named_by(provider, &visit, token).await? else { return Ok(used(&visit)) };
    let phc = match provider.new_password(&visit, &form, &about(&person)).await? {
        Ok(phc) => phc,
        Err(advice) => return Ok(show(&visit, &person, token, Some(&advice))),
    };
    // Before the link is used up: what fails here can be done again.
    if !person.email_verified {
        let links = provider.authority.links().ok_or_else(OAuthError::no_links)?;
        if !links.show_email(visit.tenant.id, person.id, &email).await? {
            return Ok(used(&visit));
        }
    }
    let by = By::Link { turn, at: provider.authority.now() };
    // Who followed the link has shown whose browser this is: they are let in, whoever guesses meanwhile.
    let known = Cookies::of(provider.known_from_now(&visit, person.id).await?);
    match set(provider, &visit, &person, &phc, by, true).await {
        Ok(()) => {
            let mut page = pages::message_with_link(
                &visit.brand,
                "Your password is set",
                "You have to sign in again wherever you were signed in before.",
                (&format!("/t/{}/login", visit.tenant.slug), "Sign in"),
            );
            known.set(&mut page);
            Ok(page)
        }
        Err(SetPasswordError::Link | SetPasswordError::Changed) => Ok(used(&visit)),
        Err(SetPasswordError::Error(error)) => Err(error),
    }
}

/// The page on which somebody who is signed in changes their password.
pub async fn change_page(provider: &Provider, visit: Visit) -> Answer {
    match provider.browser_session(&visit).await? {
        Some(browser) => Ok(show_change(&visit, &browser.person, None)),
        None => Ok(super::account::to_login(&visit)),
    }
}

/// Somebody who is signed in changes their password, and shows the old one.
pub async fn change(provider: &Provider, mut visit: Visit) -> Answer {
    visit.of_our_page(provider)?;
    let form = Form::read(&visit.form_text().await?)?;
    let Some(browser) = provider.browser_session(&visit).await? else { return Ok(super::account::to_login(&visit)) };
    let person = browser.person;
    let old = form.get("old").unwrap_or_default();
    let Ok(knows) = provider.by_password(&visit, &person.login, old).await? else {
        return Ok(show_change(&visit, &person, Some(NOT_PRESENT)));
    };
    let phc = match provider.new_password(&visit, &form, &about(&person)).await? {
        Ok(phc) => phc,
        Err(advice) => return Ok(show_change(&visit, &person, Some(&advice))),
    };
    let elsewhere = form.get("elsewhere").is_some();
    match set(provider, &visit, &person, &phc, By::Password { shown: knows.shown }, elsewhere).await {
        Ok(()) if elsewhere => {
            // This browser's session has ended with the others; whoever sits here has shown the password since, and nothing else.
            let account = provider.account(&visit, person.id).await?;
            let since = provider.moment(&account);
            let by = ShownBy::method("pwd", since);
            enter(provider, &visit, &person, by, Goal::Account).await
        }
        Ok(()) => Ok(super::account::to_account(&visit)),
        Err(SetPasswordError::Changed) => {
            provider.note_refused(&visit, Some(person.id), "password_changed").await?;
            Ok(show_change(&visit, &person, Some(NOT_PRESENT)))
        }
        Err(SetPasswordError::Link) => Ok(used(&visit)),
        Err(SetPasswordError::Error(error)) => Err(error),
    }
}

/// Why a password is not set.
enum SetPasswordError {
    /// The link is not good any more.
    Link,
    /// The one that was shown is not theirs any more.
    Changed,
    /// Something else.
    Error(OAuthError),
}

async fn set(
    provider: &Provider,
    visit: &Visit,
    person: &Person,
    phc: &str,
    by: By,
    end_sessions: bool,
) -> Result<(), SetPasswordError> {
    let password = provider.seal_password(visit, person.id, phc).await.map_err(SetPasswordError::Error)?;
    let set = SetPassword { user: person.id, password, by, end_sessions };
    match provider.authority.run(&protocol(visit.tenant.id, &person.id.to_string()), &set).await {
        Ok(_) => Ok(()),
        Err(refusal) if refusal.code() == "link_used" || refusal.code() == "account_closed" => {
            Err(SetPasswordError::Link)
        }
        Err(refusal) if refusal.code() == "password_changed" => Err(SetPasswordError::Changed),
        Err(refusal) => Err(SetPasswordError::Error(refusal.into())),
    }
}

/// The link of a turn with which a person sets their password, to be mailed to this address.
///
/// # Errors
/// When the tenant's key can't be used.
pub async fn password_link(
    authority: &Authority,
    tenant: &KnownTenant,
    user: UserId,
    email: &str,
    turn: u32,
) -> Result<String, Refusal> {
    let ring = authority.ring_or_open(tenant.id).await?;
    let key = authority.tenant_key(tenant.id, &ring).await?;
    let token = Opaque { id: user.uuid(), generation: turn }.write(tenant.id, Use::Password, &key);
    // By the address that is theirs then it is seen whether the link came to it; nothing of it stands in the link.
    let address = URL_SAFE_NO_PAD.encode(key.mac(of_address(tenant.id, &user.to_string()), &mailed(email, turn)));
    Ok(format!("{}/password?token={token}.{address}", authority.issuer(&tenant.slug)))
}

/// What shows to which address a link was mailed.
fn of_address(tenant: TenantId, user: &str) -> Context<'_> {
    Context { tenant, purpose: "auth.password_link.address", subject: user }
}

fn mailed(email: &str, turn: u32) -> Vec<u8> {
    [&turn.to_be_bytes(), email.as_bytes()].concat()
}

/// Whose link a token is.
struct Named {
    person: Person,
    /// Where it was mailed: their address still.
    email: String,
    /// Which of their links.
    turn: u32,
}

/// Whose link a token is; none: it is nobody's, not good any more, or was mailed to an address that is not theirs now.
async fn named_by(provider: &Provider, visit: &Visit, token: &str) -> Result<Option<Named>, OAuthError> {
    let Some((token, address)) = token.split_once('.') else { return Ok(None) };
    let key = provider.tenant_key(visit).await?;
    let Some(said) = Opaque::read(token, visit.tenant.id, Use::Password, &key) else { return Ok(None) };
    let (user, turn) = (UserId::new(said.id), said.generation);
    let account = provider.account(visit, user).await?;
    if !account.link(turn, provider.authority.now()) {
        return Ok(None);
    }
    let person = provider.person(visit, user).await?;
    let person = person.filter(|person| person.may_sign_in && account.opens_by_mail(person.email_verified));
    let Some((person, email)) = person.and_then(|person| Some((person.clone(), person.email?))) else {
        return Ok(None);
    };
    let shown = URL_SAFE_NO_PAD.decode(address).unwrap_or_default();
    let here = key.verifies(of_address(visit.tenant.id, &user.to_string()), &mailed(&email, turn), &shown);
    Ok(here.then_some(Named { person, email, turn }))
}

/// What would be tried first as somebody's password.
fn about(person: &Person) -> [&str; 3] {
    [&person.name, &person.login, person.email.as_deref().unwrap_or_default()]
}

fn show(visit: &Visit, person: &Person, token: &str, error: Option<&str>) -> Response {
    pages::new_password(&NewPassword {
        tenant: &visit.brand,
        person: &person.name,
        action: &format!("/t/{}/password", visit.tenant.slug),
        token,
        error,
    })
}

fn show_change(visit: &Visit, person: &Person, error: Option<&str>) -> Response {
    pages::change_password(&ChangePassword {
        tenant: &visit.brand,
        person: &person.name,
        login: &person.login,
        action: &format!("/t/{}/account/password", visit.tenant.slug),
        error,
    })
}

fn used(visit: &Visit) -> Response {
    let text =
        "The link has expired, was used, or you were signed out everywhere since it was sent. Ask for a new one.";
    pages::message(&visit.brand, StatusCode::GONE, "This link does not work any more", text)
}

/// What a refusal says, as a sentence on a page.
pub(super) fn advice(refusal: &Refusal) -> String {
    sentence(refusal.errors().first().map_or(refusal.detail(), |error| error.detail.as_str()))
}
