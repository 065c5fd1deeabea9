//! The device authorization grant (RFC 8628): a device without a keyboard shows a user code, the user enters it in a browser and decides,
//! and the device polls the token endpoint until it gets its tokens.

use auth_aggregates::{Client, ClientId, Device, DeviceAsked, DeviceId, GrantId, SessionId};
use auth_commands::{AskForDevice, DecideDevice, LetDeviceIn, Redeemed, protocol};
use chrono::TimeDelta;
use kernel::Refusal;
use poem::Response;
use poem::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::attempts::AttemptTarget;
use super::authorization_request::scope_of;
use super::authorize::{GRANT, expired, show_login};
use super::browser::BrowserSession;
use super::client::{self, AuthenticatedClient, ClientState};
use super::error::answer;
use super::form::Form;
use super::goal::Goal;
use super::pages::{self, DeviceCode, DeviceQuestion};
use super::token::tokens;
use super::{Answer, OAuthError, Provider, Visit};
use crate::authority::{Opaque, Use};

/// The lifetime of the device code and the user code.
const GOOD_FOR: TimeDelta = TimeDelta::minutes(10);

/// The shortest polling interval of a device, in seconds.
const INTERVAL: u32 = 5;

/// The alphabet of user codes: consonants that are hard to confuse and form no words (RFC 8628 section 6.1).
const LETTERS: [char; 20] =
    ['B', 'C', 'D', 'F', 'G', 'H', 'J', 'K', 'L', 'M', 'N', 'P', 'Q', 'R', 'S', 'T', 'V', 'W', 'X', 'Z'];
const LENGTH: usize = 8;

const ON_DEVICE: &str = "auth.page.device";

/// The state sealed into the page that asks the user for a decision.
#[derive(Serialize, Deserialize)]
struct PendingDecision {
    device: DeviceId,
    session: SessionId,
}

/// The device authorization endpoint (section 3.1): gives a device its two codes.
pub async fn ask(provider: &Provider, mut visit: Visit) -> Answer {
    let form = Form::read(&visit.form_text().await?)?;
    let client = client::authenticate(provider, &visit, &form).await?;
    if !matches!(client.state, ClientState::Application(_)) {
        return Err(OAuthError::unauthorized_client("a machine acts for itself, not for users"));
    }
    let scope = scope_of(&form).map_err(OAuthError::invalid_scope)?;
    if client.is_public() {
        // Anybody can claim to be a public client, and each request is recorded.
        provider.attempts.begin_anonymous(visit.tenant.id, visit.address)?;
    }
    let code = fresh_code(provider)?;
    let device = id_of(&visit, &code);
    let ask = AskForDevice {
        device,
        client: ClientId::new(client.id),
        scope,
        expires_at: provider.authority.now() + GOOD_FOR,
    };
    provider.authority.run(&protocol(visit.tenant.id, &client.id.to_string()), &ask).await?;
    let key = provider.tenant_key(&visit).await?;
    let at = format!("{}/device", visit.issuer);
    Ok(answer(
        StatusCode::OK,
        &json!({
            "device_code": Opaque { id: device.uuid(), generation: 0 }.write(visit.tenant.id, Use::Device, &key),
            "user_code": code,
            "verification_uri": at,
            "verification_uri_complete": format!("{at}?user_code={code}"),
            "expires_in": GOOD_FOR.num_seconds(),
            "interval": INTERVAL,
        }),
    ))
}

/// The page on which the user enters a code, or decides if the address contains one.
pub async fn page(provider: &Provider, visit: Visit) -> Answer {
    let form = Form::read(&visit.query)?;
    let code = form.get("user_code").unwrap_or_default();
    let Some(browser) = provider.browser_session(&visit).await? else {
        return show_login(provider, &visit, &Goal::Device(code.to_owned()), "", None).await;
    };
    if code.is_empty() {
        return Ok(show_field(&visit, None));
    }
    // Codes are short, so attempts are rate-limited.
    let target =
        AttemptTarget::new(visit.tenant.id, format!("a device's code by {}", browser.person.id), visit.address);
    provider.attempts.begin(&target)?;
    let device = id_of(&visit, code);
    let caller = protocol(visit.tenant.id, "auth");
    let found = provider.authority.executor().load::<Device>(&caller, &device.to_string()).await?;
    let asked = found.and_then(|(state, _)| state.open(provider.authority.now()).cloned());
    let Some(asked) = asked else {
        provider.attempts.failed(&target);
        return Ok(show_field(
            &visit,
            Some("No device shows this code now. Check the code, or start again on the device."),
        ));
    };
    ask_person(provider, &visit, &browser, &as_shown(code), device, &asked).await
}

/// Handles the user's decision.
pub async fn decide(provider: &Provider, mut visit: Visit) -> Answer {
    visit.require_same_origin(provider)?;
    let form = Form::read(&visit.form_text().await?)?;
    let kept: Option<PendingDecision> = provider.open_state(&visit, ON_DEVICE, form.need("pending")?).await?;
    let browser = provider.browser_session(&visit).await?;
    let (Some(kept), Some(browser)) = (kept, browser) else { return Ok(expired(&visit)) };
    if kept.session != browser.id {
        return Ok(expired(&visit));
    }
    let user = browser.person.id;
    let allow = form.need("decision")? == "allow";
    let decide = DecideDevice { device: kept.device, user, session: browser.id, allow };
    match provider.authority.run(&protocol(visit.tenant.id, &user.to_string()), &decide).await {
        Ok(_) => {
            let text =
                if allow { "Go back to your device: it continues automatically." } else { "The device was told." };
            let title = if allow { "Your device is connected" } else { "Your device is not connected" };
            Ok(pages::message(&visit.brand, StatusCode::OK, title, text))
        }
        Err(refusal) if refusal.code() == "session_ended" => Ok(expired(&visit)),
        Err(refusal) if refusal.code() == "expired_token" => {
            Ok(show_field(&visit, Some("The code has expired or was already used. Start again on the device.")))
        }
        Err(refusal) => Err(refusal.into()),
    }
}

/// A device's token request (section 3.4): its tokens, or the reason why there are none yet.
pub(super) async fn redeem(provider: &Provider, visit: &Visit, form: &Form, client: &AuthenticatedClient) -> Answer {
    let key = provider.tenant_key(visit).await?;
    let nothing =
        || OAuthError::invalid_grant("the device code is not valid, belongs to another client, or was already used");
    let said = Opaque::read(form.need("device_code")?, visit.tenant.id, Use::Device, &key).ok_or_else(nothing)?;
    if !provider.polls.may_poll(said.id, provider.authority.now(), TimeDelta::seconds(INTERVAL.into())) {
        return Err(OAuthError::slow_polling());
    }
    let let_in = LetDeviceIn { device: DeviceId::new(said.id), client: ClientId::new(client.id), lifetime: GRANT };
    let done = provider.authority.run(&protocol(visit.tenant.id, &client.id.to_string()), &let_in).await;
    let grant: GrantId = match done {
        Ok(done) => done.answer,
        Err(refusal) => return Err(polled(refusal)),
    };
    tokens(provider, visit, client, grant, Redeemed::Granted { generation: 0 }, None).await
}

/// The error for a device that gets no tokens (section 3.5).
fn polled(refusal: Refusal) -> OAuthError {
    let detail = refusal.detail().to_owned();
    match refusal.code() {
        "authorization_pending" => OAuthError::with_code("authorization_pending", detail),
        "access_denied" => OAuthError::with_code("access_denied", detail),
        "expired_token" => OAuthError::with_code("expired_token", detail),
        "not_found" => OAuthError::invalid_grant("there is no such device code"),
        _ => refusal.into(),
    }
}

async fn ask_person(
    provider: &Provider,
    visit: &Visit,
    browser: &BrowserSession,
    code: &str,
    device: DeviceId,
    asked: &DeviceAsked,
) -> Answer {
    let caller = protocol(visit.tenant.id, "auth");
    let client = provider.authority.executor().load::<Client>(&caller, &asked.client.to_string()).await?;
    let name = client.filter(|(client, _)| client.active).map(|(client, _)| client.details.name.clone());
    let Some(name) = name else { return Ok(show_field(visit, Some("This application is no longer registered."))) };
    let pending = provider.seal_state(visit, ON_DEVICE, PendingDecision { device, session: browser.id }).await?;
    Ok(pages::device_question(&DeviceQuestion {
        tenant: &visit.brand,
        client: &name,
        code,
        person: &browser.person.name,
        action: &format!("/t/{}/device", visit.tenant.slug),
        pending: &pending,
        scope: &asked.scope,
    }))
}

fn show_field(visit: &Visit, error: Option<&str>) -> Response {
    let action = format!("/t/{}/device", visit.tenant.slug);
    pages::device_code(&DeviceCode { tenant: &visit.brand, action: &action, error })
}

/// The letters of a code, in upper case, however it was typed.
fn letters(code: &str) -> String {
    code.chars().filter(char::is_ascii_alphabetic).map(|letter| letter.to_ascii_uppercase()).collect()
}

/// A code in the form that the device shows.
fn as_shown(code: &str) -> String {
    let letters = letters(code);
    let (first, second) = letters.split_at(letters.len().min(LENGTH / 2));
    format!("{first}-{second}")
}

/// The id of the device with this code: derived from the code's hash, so that the code itself is not stored.
fn id_of(visit: &Visit, code: &str) -> DeviceId {
    let hash = Sha256::new()
        .chain_update(b"inopsio device code 1")
        .chain_update(visit.tenant.id.uuid().as_bytes())
        .chain_update(letters(code))
        .finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    DeviceId::new(uuid::Builder::from_custom_bytes(bytes).into_uuid())
}

/// A random code of two groups of letters.
fn fresh_code(provider: &Provider) -> Result<String, Refusal> {
    let mut code = String::with_capacity(LENGTH + 1);
    let mut bytes = [0; 64];
    while code.len() < LENGTH + 1 {
        provider.authority.random().fill(&mut bytes).map_err(crate::authority::refused)?;
        // Bytes of 240 and above are skipped: 256 is not a multiple of 20, so they would make the first letters more likely.
        for letter in bytes.iter().filter(|byte| **byte < 240).map(|byte| LETTERS[usize::from(byte % 20)]) {
            if code.len() == LENGTH / 2 {
                code.push('-');
            }
            if code.len() < LENGTH + 1 {
                code.push(letter);
            }
        }
    }
    Ok(code)
}
