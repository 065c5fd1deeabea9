//! Setting a password: by a mailed link for a user who forgot theirs, and by the old password for a signed-in user.

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
use super::browser::{Authentication, Cookies, unavailable};
use super::error::sentence;
use super::form::Form;
use super::goal::Goal;
use super::pages::{self, ChangePassword, NewPassword};
use super::{Answer, OAuthError, Provider, Visit};
use crate::authority::{Authority, KnownTenant, Opaque, Use};

/// The text for every wrong old password.
const NOT_PRESENT: &str = "This is not your current password.";

/// Shows the page to request a link.
pub async fn forgot_page(_: &Provider, visit: Visit) -> Answer {
    Ok(pages::forgot(&visit.brand, &visit.tenant.slug))
}

/// Handles the request for a link to set a new password: mails one, if there is such a user. The response is the same in any case.
pub async fn forgot(provider: &Provider, mut visit: Visit) -> Answer {
    visit.require_same_origin(provider)?;
    // A limit, so that nobody can have us mail to many addresses. A browser in which a user signed in before has its own limit, so that it
    // is not affected by others in its network.
    let browser = provider.recognized_user(&visit).await?;
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
    provider.in_background("a link to set a password", request);
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

/// Shows the page to which the mailed link leads.
pub async fn link_page(provider: &Provider, visit: Visit) -> Answer {
    let query = Form::read(&visit.query)?;
    let token = query.get("token").unwrap_or_default().to_owned();
    match read_link(provider, &visit, &token).await? {
        Some(named) => Ok(show(&visit, &named.person, &token, None)),
        None => Ok(used(&visit)),
    }
}

/// Sets the password of a user who followed a mailed link.
pub async fn by_link(provider: &Provider, mut visit: Visit) -> Answer {
    visit.require_same_origin(provider)?;
    let form = Form::read(&visit.form_text().await?)?;
    let token = form.get("token").unwrap_or_default();
    let Some(ValidLink { person, email, turn }) = read_link(provider, &visit, token).await? else {
        return Ok(used(&visit));
    };
    let phc = match provider.new_password(&visit, &form, &about(&person)).await? {
        Ok(phc) => phc,
        Err(advice) => return Ok(show(&visit, &person, token, Some(&advice))),
    };
    // The address is verified before the link is consumed, so that the user can try again if this fails.
    if !person.email_verified {
        let links = provider.authority.links().ok_or_else(OAuthError::no_links)?;
        if !links.show_email(visit.tenant.id, person.id, &email).await? {
            return Ok(used(&visit));
        }
    }
    let by = By::Link { turn, at: provider.authority.now() };
    // Following the link shows that this is the user's browser: its cookie exempts the user's next sign-in from the limits that others'
    // guesses have reached.
    let known = Cookies::of(provider.recognition_cookie(&visit, person.id).await?);
    match set(provider, &visit, &person, &phc, by, true).await {
        Ok(()) => {
            let mut page = pages::message_with_link(
                &visit.brand,
                StatusCode::OK,
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

/// Shows the page on which a signed-in user changes their password.
pub async fn change_page(provider: &Provider, visit: Visit) -> Answer {
    match provider.browser_session(&visit).await? {
        Some(browser) => Ok(show_change(&visit, &browser.person, None)),
        None => Ok(super::account::to_login(&visit)),
    }
}

/// Changes the password of a signed-in user, who has to enter the old one.
pub async fn change(provider: &Provider, mut visit: Visit) -> Answer {
    visit.require_same_origin(provider)?;
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
            // This browser's session has ended with the others. The user has just shown the password, so a new session begins with that
            // method alone.
            let account = provider.account(&visit, person.id).await?;
            let since = provider.moment(&account);
            let by = Authentication::method("pwd", since);
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

/// Why setting a password failed.
enum SetPasswordError {
    /// The link is not valid any more.
    Link,
    /// The old password was changed in the meantime.
    Changed,
    /// Any other error.
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

/// The link with which a user sets their password, to be mailed to this address. `turn`: the number of the request, which the account
/// counts.
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
    // The MAC binds the link to the address that it was mailed to, which is checked against the user's address when the link is followed.
    // The link does not contain the address itself.
    let address = URL_SAFE_NO_PAD.encode(key.mac(of_address(tenant.id, &user.to_string()), &mailed(email, turn)));
    Ok(format!("{}/password?token={token}.{address}", authority.issuer(&tenant.slug)))
}

/// The MAC's context, for the address to which a link was mailed.
fn of_address(tenant: TenantId, user: &str) -> Context<'_> {
    Context { tenant, purpose: "auth.password_link.address", subject: user }
}

fn mailed(email: &str, turn: u32) -> Vec<u8> {
    [&turn.to_be_bytes(), email.as_bytes()].concat()
}

/// The content of a valid link.
struct ValidLink {
    person: Person,
    /// The address to which it was mailed, which is still the user's.
    email: String,
    /// The number of the request that the link answers.
    turn: u32,
}

/// Reads the token of a link; none: it is invalid, used or expired, or was mailed to an address that is not the user's now.
async fn read_link(provider: &Provider, visit: &Visit, token: &str) -> Result<Option<ValidLink>, OAuthError> {
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
    Ok(here.then_some(ValidLink { person, email, turn }))
}

/// The words that a password must not be built from: they would be guessed first.
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
        slug: &visit.tenant.slug,
        error,
    })
}

fn used(visit: &Visit) -> Response {
    let text = "The link has expired, was used, or you were signed out everywhere since it was sent.";
    let forgot = format!("/t/{}/forgot", visit.tenant.slug);
    let again = (forgot.as_str(), "Ask for a new one");
    pages::message_with_link(&visit.brand, StatusCode::GONE, "This link is no longer valid", text, again)
}

/// The text of a refusal, as a sentence on a page.
pub(super) fn advice(refusal: &Refusal) -> String {
    sentence(refusal.errors().first().map_or(refusal.detail(), |error| error.detail.as_str()))
}
