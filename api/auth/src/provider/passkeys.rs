//! The account's pages for passkeys: enrolment, renaming, removal, and new recovery codes.

use auth_aggregates::{Account, CHALLENGE_GOOD_FOR, MOST_PASSKEYS, SessionId};
use auth_commands::{ConfirmSession, EnrolPasskey, RemovePasskey, RenamePasskey, Within, protocol};
use chrono::{DateTime, Utc};
use face::Person;
use kernel::{Refusal, UserId};
use poem::Response;
use serde::{Deserialize, Serialize};
use webauthn_rs::prelude::PasskeyRegistration;

use super::account::to_account;
use super::authenticator::{new_codes, show_codes};
use super::authorize::{expired, see_other};
use super::browser::BrowserSession;
use super::form::Form;
use super::goal::Goal;
use super::pages::{self, PasskeyForm, PasskeysPage, ShownPasskey};
use super::passwords::advice;
use super::reauthentication::recently_authenticated;
use super::{Answer, OAuthError, Provider, Visit};
use crate::passkey::{Challenge, NewPasskey, method};
use crate::totp::{recovery_codes, recovery_hash};

const ON_PASSKEYS: &str = "auth.page.passkeys";

/// The text for every answer that does not lead to a new passkey.
pub(super) const WRONG: &str =
    "Your browser made no passkey, or one that you have already. Try again, or use another device.";

/// The text for a user who must have a second factor and would remove the last one.
pub(super) const LAST: &str = "You need a second factor to sign in. Add another one before you remove this one.";

/// The state sealed into a page that asks for a new passkey. `W`: what identifies the user (a session, or a pending sign-in).
#[derive(Serialize, Deserialize)]
pub(super) struct PendingEnrolment<W> {
    pub(super) whom: W,
    at: DateTime<Utc>,
    challenge: Challenge<PasskeyRegistration>,
}

/// Shows the page.
pub async fn page(provider: &Provider, visit: Visit) -> Answer {
    match recently_authenticated(provider, &visit, Goal::Passkeys).await? {
        Ok(browser) => show(provider, &visit, &browser, None).await,
        Err(page) => Ok(page),
    }
}

/// Enrols a passkey that the browser has made.
pub async fn enrol(provider: &Provider, mut visit: Visit) -> Answer {
    visit.require_same_origin(provider)?;
    let form = Form::read(&visit.form_text().await?)?;
    let browser = match recently_authenticated(provider, &visit, Goal::Passkeys).await? {
        Ok(browser) => browser,
        Err(page) => return Ok(page),
    };
    let kept: Option<PendingEnrolment<SessionId>> =
        provider.open_state(&visit, ON_PASSKEYS, form.need("pending")?).await?;
    let Some(kept) = kept.filter(|kept| kept.whom == browser.id) else { return Ok(expired(&visit)) };
    let Some(made) = read_new_passkey(provider, &visit, &kept, &form) else {
        return show(provider, &visit, &browser, Some(WRONG)).await;
    };
    let method = method(made.synced).to_owned();
    // A user without recovery codes gets some.
    let codes = browser.account.recovery.is_empty();
    let whose = (browser.person.id, Within::Session(browser.id));
    let codes = match enrol_passkey(provider, &visit, whose, made, kept, &form, codes).await {
        Ok(codes) => codes,
        Err(refusal) => return show_refusal(provider, &visit, &browser, refusal).await,
    };
    let confirm = ConfirmSession { session: browser.id, methods: vec![method] };
    provider.authority.run(&protocol(visit.tenant.id, &browser.person.id.to_string()), &confirm).await?;
    Ok(if codes.is_empty() { to_passkeys(&visit) } else { show_codes(&visit, &codes, &to(&visit)) })
}

/// The new passkey in a form, if it answers a challenge that has not expired.
pub(super) fn read_new_passkey<W>(
    provider: &Provider,
    visit: &Visit,
    making: &PendingEnrolment<W>,
    form: &Form,
) -> Option<NewPasskey> {
    if provider.authority.now() - making.at >= CHALLENGE_GOOD_FOR {
        return None;
    }
    let party = provider.relying_party(visit)?;
    party.verify_registration(&making.challenge, form.get("answer").unwrap_or_default()).ok()
}

/// Enrols a passkey under the name in the form, with fresh recovery codes if wanted. `within`: the sign-in or session in which the user
/// enrols it.
pub(super) async fn enrol_passkey<W>(
    provider: &Provider,
    visit: &Visit,
    (user, within): (UserId, Within),
    made: NewPasskey,
    making: PendingEnrolment<W>,
    form: &Form,
    with_codes: bool,
) -> Result<Vec<String>, Refusal> {
    let codes = if with_codes { recovery_codes(provider.authority.random())? } else { Vec::new() };
    let enrol = EnrolPasskey {
        user,
        within,
        passkey: made.id,
        name: form.get("name").unwrap_or_default().to_owned(),
        key: made.key,
        counter: made.counter,
        synced: made.synced,
        challenge: making.challenge.challenge,
        recovery: codes.iter().map(|code| recovery_hash(code)).collect(),
    };
    provider.authority.run(&protocol(visit.tenant.id, &user.to_string()), &enrol).await?;
    Ok(codes)
}

/// Renames a passkey.
pub async fn rename(provider: &Provider, mut visit: Visit) -> Answer {
    visit.require_same_origin(provider)?;
    let form = Form::read(&visit.form_text().await?)?;
    let browser = match recently_authenticated(provider, &visit, Goal::Passkeys).await? {
        Ok(browser) => browser,
        Err(page) => return Ok(page),
    };
    let user = browser.person.id;
    let rename =
        RenamePasskey { user, passkey: known(&form, &browser)?, name: form.get("name").unwrap_or_default().to_owned() };
    match provider.authority.run(&protocol(visit.tenant.id, &user.to_string()), &rename).await {
        Ok(_) => Ok(to_passkeys(&visit)),
        Err(refusal) => show_refusal(provider, &visit, &browser, refusal).await,
    }
}

/// Removes a passkey.
pub async fn remove(provider: &Provider, mut visit: Visit) -> Answer {
    visit.require_same_origin(provider)?;
    let form = Form::read(&visit.form_text().await?)?;
    let browser = match recently_authenticated(provider, &visit, Goal::Passkeys).await? {
        Ok(browser) => browser,
        Err(page) => return Ok(page),
    };
    let last = browser.account.totp.is_none() && browser.account.passkeys.by_id.len() == 1;
    if last && provider.requires_second_factor(&visit, &browser.person).await? {
        return show(provider, &visit, &browser, Some(LAST)).await;
    }
    let user = browser.person.id;
    let remove = RemovePasskey { user, passkey: known(&form, &browser)? };
    provider.authority.run(&protocol(visit.tenant.id, &user.to_string()), &remove).await?;
    Ok(to_passkeys(&visit))
}

/// Replaces the recovery codes.
pub async fn renew_codes(provider: &Provider, visit: Visit) -> Answer {
    visit.require_same_origin(provider)?;
    let browser = match recently_authenticated(provider, &visit, Goal::Passkeys).await? {
        Ok(browser) => browser,
        Err(page) => return Ok(page),
    };
    if !browser.account.has_second_factor() {
        return Ok(to_account(&visit));
    }
    new_codes(provider, &visit, browser.person.id, &to(&visit)).await
}

/// The id of the passkey in a form. Another user's gets the same answer as one that does not exist.
fn known(form: &Form, browser: &BrowserSession) -> Result<String, OAuthError> {
    let passkey = form.need("passkey")?;
    if browser.account.passkeys.by_id.contains_key(passkey) {
        return Ok(passkey.to_owned());
    }
    Err(Refusal::not_found("not_found", "you have no such passkey").into())
}

/// Shows a refusal on the page if the user can act on it; other refusals become errors.
async fn show_refusal(provider: &Provider, visit: &Visit, browser: &BrowserSession, refusal: Refusal) -> Answer {
    if is_correctable(&refusal) {
        show(provider, visit, browser, Some(&advice(&refusal))).await
    } else {
        Err(refusal.into())
    }
}

/// Whether the user can act on a refusal to enrol or rename a passkey.
pub(super) fn is_correctable(refusal: &Refusal) -> bool {
    let theirs = ["passkey_there", "passkey_taken", "passkeys_many", "challenge_used"];
    !refusal.errors().is_empty() || theirs.contains(&refusal.code())
}

async fn show(provider: &Provider, visit: &Visit, browser: &BrowserSession, error: Option<&str>) -> Answer {
    let passkeys = &browser.account.passkeys.by_id;
    let shown: Vec<_> = passkeys
        .iter()
        .map(|(id, passkey)| ShownPasskey {
            id,
            name: passkey.name.reveal(),
            enrolled: passkey.enrolled_at,
            used: passkey.used_at,
            synced: passkey.synced,
        })
        .collect();
    let (person, account, page) = (&browser.person, &browser.account, (ON_PASSKEYS, "account/passkeys"));
    let make = match passkeys.len() {
        ..MOST_PASSKEYS => enrolment_form(provider, visit, person, account, page, browser.id).await?,
        _ => None,
    };
    Ok(pages::passkeys(&PasskeysPage {
        tenant: &visit.brand,
        slug: &visit.tenant.slug,
        passkeys: &shown,
        left: browser.account.recovery.len(),
        make: make.as_ref(),
        name: &format!("Passkey {}", passkeys.len() + 1),
        error,
    }))
}

/// The form that asks for a new passkey; none: passkeys can't be used at our address. `page`: the purpose for sealing, and the path to
/// which the form is sent. `whom`: what identifies the user.
pub(super) async fn enrolment_form<W: Serialize>(
    provider: &Provider,
    visit: &Visit,
    person: &Person,
    account: &Account,
    (page, path): (&'static str, &str),
    whom: W,
) -> Result<Option<PasskeyForm>, OAuthError> {
    let Some(party) = provider.relying_party(visit) else { return Ok(None) };
    let there = account.passkeys.by_id.keys();
    let (options, challenge) = party.request_registration(person.id, &person.login, &person.name, there)?;
    let making = PendingEnrolment { whom, at: provider.authority.now(), challenge };
    let pending = provider.seal_state(visit, page, making).await?;
    let action = format!("/t/{}/{path}", visit.tenant.slug);
    Ok(Some(PasskeyForm { action, pending, options, script: provider.script(visit) }))
}

fn to(visit: &Visit) -> String {
    format!("/t/{}/account/passkeys", visit.tenant.slug)
}

fn to_passkeys(visit: &Visit) -> Response {
    see_other(&to(visit))
}
