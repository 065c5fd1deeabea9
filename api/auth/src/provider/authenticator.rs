//! The account's pages for the authenticator app (TOTP) and the recovery codes: enrolment, removal, renewal.

use auth_aggregates::SessionId;
use auth_commands::{ConfirmSession, EnrolTotp, RemoveTotp, SetRecoveryCodes, Within, protocol};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kernel::UserId;
use poem::Response;
use serde::{Deserialize, Serialize};

use super::account::{to_account, to_login};
use super::authorize::{expired, see_other};
use super::browser::BrowserSession;
use super::form::Form;
use super::goal::Goal;
use super::pages::{self, AuthenticatorPage, EnrolPage, ShownKey};
use super::passkeys::LAST;
use super::reauthentication::recently_authenticated;
use super::{Answer, OAuthError, Provider, Visit};
use crate::totp::{Authenticator, recovery_codes, recovery_hash};

const ON_ENROL: &str = "auth.page.enrol";

/// The state sealed into the page that shows a new authenticator's secret. The secret is stored only after a valid code was entered.
#[derive(Serialize, Deserialize)]
struct PendingAuthenticator {
    session: SessionId,
    secret: String,
}

/// Shows the page to enrol an authenticator or, if there is one, to manage it.
pub async fn page(provider: &Provider, visit: Visit) -> Answer {
    let Some(browser) = provider.browser_session(&visit).await? else { return Ok(to_login(&visit)) };
    if browser.account.totp.is_some() {
        return Ok(show(&visit, &browser, None));
    }
    let browser = match recently_authenticated(provider, &visit, Goal::Authenticator).await? {
        Ok(browser) => browser,
        Err(page) => return Ok(page),
    };
    let authenticator = Authenticator::generate(provider.authority.random())?;
    show_enrol(provider, &visit, &browser, &authenticator, None).await
}

/// Enrols an authenticator after the user entered a valid code of it.
pub async fn enrol(provider: &Provider, mut visit: Visit) -> Answer {
    visit.require_same_origin(provider)?;
    let form = Form::read(&visit.form_text().await?)?;
    let browser = match recently_authenticated(provider, &visit, Goal::Authenticator).await? {
        Ok(browser) => browser,
        Err(page) => return Ok(page),
    };
    if browser.account.totp.is_some() {
        // The form was sent twice, perhaps by a double click. If the answer with the recovery codes is lost, that page makes new ones.
        return Ok(see_other(&format!("/t/{}/account/authenticator", visit.tenant.slug)));
    }
    let kept: Option<PendingAuthenticator> = provider.open_state(&visit, ON_ENROL, form.need("pending")?).await?;
    let kept = kept.filter(|kept| kept.session == browser.id);
    let authenticator = kept.and_then(|kept| Authenticator::of(&URL_SAFE_NO_PAD.decode(kept.secret).ok()?));
    let Some(authenticator) = authenticator else { return Ok(expired(&visit)) };
    let code = form.get("code").unwrap_or_default();
    let Some(step) = authenticator.step_of(code, provider.authority.now()) else {
        let error = "This is not the current code. Check the clock of your device, and try the next code.";
        return show_enrol(provider, &visit, &browser, &authenticator, Some(error)).await;
    };
    let user = browser.person.id;
    let codes = enrol_shown(provider, &visit, (user, Within::Session(browser.id)), &authenticator, step).await?;
    let confirm = ConfirmSession { session: browser.id, methods: vec!["otp".to_owned()] };
    provider.authority.run(&protocol(visit.tenant.id, &user.to_string()), &confirm).await?;
    Ok(show_codes(&visit, &codes, &own(&visit)))
}

/// Enrols an authenticator whose code of time step `step` the user entered, and returns fresh recovery codes. `within`: the sign-in or
/// session in which they enrol it.
pub(super) async fn enrol_shown(
    provider: &Provider,
    visit: &Visit,
    (user, within): (UserId, Within),
    authenticator: &Authenticator,
    step: u64,
) -> Result<Vec<String>, OAuthError> {
    let codes = recovery_codes(provider.authority.random())?;
    let enrol = EnrolTotp {
        user,
        within,
        secret: provider.seal_authenticator(visit, user, authenticator).await?,
        step,
        recovery: codes.iter().map(|code| recovery_hash(code)).collect(),
    };
    provider.authority.run(&protocol(visit.tenant.id, &user.to_string()), &enrol).await?;
    Ok(codes)
}

/// Removes the authenticator, after the user entered a valid code of it.
pub async fn remove(provider: &Provider, mut visit: Visit) -> Answer {
    visit.require_same_origin(provider)?;
    let form = Form::read(&visit.form_text().await?)?;
    let Some(browser) = provider.browser_session(&visit).await? else { return Ok(to_login(&visit)) };
    let last = browser.account.passkeys.is_empty();
    if last && provider.requires_second_factor(&visit, &browser.person).await? {
        return Ok(show(&visit, &browser, Some(LAST)));
    }
    if let Some(wrong) = shows_code(provider, &visit, &form, &browser).await? {
        return Ok(wrong);
    }
    let user = browser.person.id;
    let caller = protocol(visit.tenant.id, &user.to_string());
    provider.authority.run(&caller, &RemoveTotp { user }).await?;
    Ok(to_account(&visit))
}

/// Replaces the recovery codes, after the user entered a valid code.
pub async fn renew_codes(provider: &Provider, mut visit: Visit) -> Answer {
    visit.require_same_origin(provider)?;
    let form = Form::read(&visit.form_text().await?)?;
    let Some(browser) = provider.browser_session(&visit).await? else { return Ok(to_login(&visit)) };
    if let Some(wrong) = shows_code(provider, &visit, &form, &browser).await? {
        return Ok(wrong);
    }
    new_codes(provider, &visit, browser.person.id, &own(&visit)).await
}

/// Requires a valid code, so that somebody at an unattended browser can't change anything. Returns the page that refuses the code; none:
/// the code is right.
async fn shows_code(
    provider: &Provider,
    visit: &Visit,
    form: &Form,
    browser: &BrowserSession,
) -> Result<Option<Response>, OAuthError> {
    if browser.account.totp.is_none() {
        return Ok(Some(to_account(visit)));
    }
    let code = form.get("code").unwrap_or_default();
    if provider.code_is_right(visit, browser.person.id, &browser.account, code).await? {
        return Ok(None);
    }
    let error = "This is not the current code, or it was already used. Wait for the next code.";
    Ok(Some(show(visit, browser, Some(error))))
}

fn show(visit: &Visit, browser: &BrowserSession, error: Option<&str>) -> Response {
    pages::authenticator(&AuthenticatorPage {
        tenant: &visit.brand,
        slug: &visit.tenant.slug,
        left: browser.account.recovery.len(),
        error,
    })
}

async fn show_enrol(
    provider: &Provider,
    visit: &Visit,
    browser: &BrowserSession,
    authenticator: &Authenticator,
    error: Option<&str>,
) -> Answer {
    let enrolling = PendingAuthenticator { session: browser.id, secret: URL_SAFE_NO_PAD.encode(authenticator.bytes()) };
    let pending = provider.seal_state(visit, ON_ENROL, enrolling).await?;
    let link = authenticator.link(&visit.tenant.name, &browser.person.login);
    Ok(pages::enrol(&EnrolPage {
        tenant: &visit.brand,
        slug: &visit.tenant.slug,
        pending: &pending,
        key: ShownKey { link: link.as_deref(), secret: &authenticator.text() },
        error,
    }))
}

/// Replaces a user's recovery codes and shows the new ones; `then`: the page that follows.
pub(super) async fn new_codes(provider: &Provider, visit: &Visit, user: UserId, then: &str) -> Answer {
    let codes = recovery_codes(provider.authority.random())?;
    let set = SetRecoveryCodes { user, hashes: codes.iter().map(|code| recovery_hash(code)).collect() };
    provider.authority.run(&protocol(visit.tenant.id, &user.to_string()), &set).await?;
    Ok(show_codes(visit, &codes, then))
}

/// Shows recovery codes, which happens only once; `then`: the page that follows.
pub(super) fn show_codes(visit: &Visit, codes: &[String], then: &str) -> Response {
    pages::recovery_codes(&visit.brand, codes, then)
}

fn own(visit: &Visit) -> String {
    format!("/t/{}/account", visit.tenant.slug)
}
