//! Authenticators and recovery codes.

use auth_api::totp::Authenticator;
use chrono::TimeDelta;
use futures::future::join_all;
use reqwest::StatusCode;
use serde_json::json;
use testbed::{Browser, Shown, base32};

use crate::world::{PASSWORD, Visits, World, claims, json};

const PAGE: &str = "account/authenticator";

/// A user with an authenticator and recovery codes.
pub struct AuthenticatorUser {
    pub browser: Browser,
    authenticator: Authenticator,
    recovery: Vec<String>,
}

impl AuthenticatorUser {
    pub async fn person(world: &World) -> Self {
        world.person("ada@example.com").await;
        let mut browser = Browser::default();
        browser.signs_in(world, "login", "ada@example.com", PASSWORD).await;
        let page = browser.visit(world, PAGE).await;
        assert!(page.body.contains("<svg") && page.status == StatusCode::OK, "{page:?}");
        let key = spans(&page)[0].replace(' ', "");
        let authenticator = Authenticator::of(&base32(&key)).unwrap();
        let (pending, code) = (page.hidden("pending"), authenticator.code(world.now()).unwrap());
        let wrong = browser.fill_in(world, PAGE, &[("pending", &pending), ("code", "000000")]).await;
        assert_eq!(wrong.status, StatusCode::BAD_REQUEST, "{wrong:?}");
        assert_eq!(spans(&wrong)[0].replace(' ', ""), key, "another key is shown, of which the device knows nothing");
        let enrolled = browser.fill_in(world, PAGE, &[("pending", &pending), ("code", &code)]).await;
        assert_eq!(enrolled.status, StatusCode::OK, "{enrolled:?}");
        let recovery = spans(&enrolled);
        assert_eq!(recovery.len(), 10, "{enrolled:?}");
        Self { browser, authenticator, recovery }
    }

    /// The current code, after waiting until the previous one is not current any more.
    pub fn next(&self, world: &World) -> String {
        world.clock.advance(TimeDelta::seconds(30));
        self.authenticator.code(world.now()).unwrap()
    }
}

/// The codes on a page.
fn spans(page: &Shown) -> Vec<String> {
    let parts = page.body.split("<span class=\"code\">").skip(1);
    parts.map(|part| part.split('<').next().unwrap().to_owned()).collect()
}

/// Enters a code on the page that asks for one.
pub async fn sends_code(world: &World, browser: &mut Browser, page: &Shown, code: &str) -> Shown {
    browser.fill_in(world, "code", &[("pending", &page.hidden("pending")), ("code", code)]).await
}

#[tokio::test]
async fn who_has_an_authenticator_shows_a_code_after_the_password_and_clients_are_told() {
    let world = World::start().await;
    let ada = AuthenticatorUser::person(&world).await;
    let app = world.client(true).await;
    let mut browser = Browser::default();
    let before = world.head().await;
    let page = browser.signs_in(&world, &app.asks(&[]), "ada@example.com", PASSWORD).await;
    assert!(page.status == StatusCode::OK && page.body.contains("one-time-code"), "{page:?}");
    assert!(!browser.cookies.contains_key("inopsio-acme"), "signed in with the password alone");
    assert_eq!(world.head().await, before, "a password alone is no session");
    let wrong = sends_code(&world, &mut browser, &page, "000000").await;
    assert_eq!((wrong.status, wrong.alert().contains("not the current code")), (StatusCode::UNAUTHORIZED, true));
    let (event, payload) = world.last_event().await;
    assert_eq!((event.as_str(), &payload["reason"]), ("auth.sign_in.refused", &json!("code_wrong")));
    assert_eq!(world.head().await, before + 1, "one record");
    let code = sends_code(&world, &mut browser, &page, &ada.next(&world)).await.code();
    let tokens = json(app.redeems(&world, &code, &[]), StatusCode::OK).await;
    for token in ["id_token", "access_token"] {
        let said = claims(tokens[token].as_str().unwrap());
        assert_eq!((&said["acr"], &said["amr"]), (&json!("aal2"), &json!(["pwd", "otp"])), "{token}: {said}");
    }
}

#[tokio::test]
async fn a_form_that_is_sent_twice_leads_to_the_authenticator_that_it_added() {
    let world = World::start().await;
    world.person("ada@example.com").await;
    let mut browser = Browser::default();
    browser.signs_in(&world, "login", "ada@example.com", PASSWORD).await;
    let page = browser.visit(&world, PAGE).await;
    assert!(page.body.contains("href=\"otpauth://totp/"), "a telephone can't scan what it shows: {page:?}");
    let authenticator = Authenticator::of(&base32(&spans(&page)[0].replace(' ', ""))).unwrap();
    let (pending, code) = (page.hidden("pending"), authenticator.code(world.now()).unwrap());
    let form = [("pending", pending.as_str()), ("code", code.as_str())];
    assert_eq!(browser.fill_in(&world, PAGE, &form).await.status, StatusCode::OK);
    let before = world.head().await;
    let again = browser.fill_in(&world, PAGE, &form).await;
    assert_eq!(again.leads_to().0, "/t/acme/account/authenticator");
    assert_eq!(world.head().await, before, "something was written");
    let page = browser.visit(&world, PAGE).await;
    assert!(page.body.contains("You have 10 recovery codes left"), "{page:?}");
}

#[tokio::test]
async fn a_client_that_wants_to_be_surer_gets_a_second_factor_in_the_same_session() {
    let world = World::start().await;
    world.person("eve@example.com").await;
    let app = world.client(true).await;
    // A user without a second factor is let through.
    let mut eve = Browser::default();
    let code = eve.signs_in(&world, &app.asks(&[("acr_values", "aal2")]), "eve@example.com", PASSWORD).await.code();
    let tokens = json(app.redeems(&world, &code, &[]), StatusCode::OK).await;
    assert_eq!(claims(tokens["id_token"].as_str().unwrap())["acr"], "aal1");

    // A session from before the authenticator was enrolled, in another browser.
    world.person("ada@example.com").await;
    let mut old = Browser::default();
    old.signs_in(&world, "login", "ada@example.com", PASSWORD).await;
    let session = old.cookies["inopsio-acme"].clone();
    let mut here = Browser::default();
    here.signs_in(&world, "login", "ada@example.com", PASSWORD).await;
    let page = here.visit(&world, PAGE).await;
    let authenticator = Authenticator::of(&base32(&spans(&page)[0].replace(' ', ""))).unwrap();
    let first = authenticator.code(world.now()).unwrap();
    here.fill_in(&world, PAGE, &[("pending", &page.hidden("pending")), ("code", &first)]).await;

    old.visit(&world, &app.asks(&[])).await.code();
    let silently = old.visit(&world, &app.asks(&[("acr_values", "aal2"), ("prompt", "none")])).await;
    assert_eq!(silently.leads_to().1["error"], "interaction_required");
    let page = old.visit(&world, &app.asks(&[("acr_values", "aal2")])).await;
    world.clock.advance(TimeDelta::seconds(30));
    let surer = sends_code(&world, &mut old, &page, &authenticator.code(world.now()).unwrap()).await;
    let tokens = json(app.redeems(&world, &surer.code(), &[]), StatusCode::OK).await;
    let said = claims(tokens["id_token"].as_str().unwrap());
    assert_eq!((&said["acr"], &said["auth_time"]), (&json!("aal2"), &json!(world.now().timestamp())), "{said}");
    assert_eq!(old.cookies["inopsio-acme"], session, "another session");
    // Another browser can't finish what this one began.
    let page = old.visit(&world, &app.asks(&[("prompt", "login")])).await;
    assert!(page.body.contains("Password"), "{page:?}");
}

#[tokio::test]
async fn attack_145_a_second_factor_that_is_shown_later_makes_no_token_younger_that_was_granted_before() {
    let world = World::start().await;
    let mut ada = AuthenticatorUser::person(&world).await;
    let app = world.client(true).await;
    let code = ada.browser.visit(&world, &app.asks(&[])).await.code();
    let granted = json(app.redeems(&world, &code, &[]), StatusCode::OK).await;
    world.clock.advance(TimeDelta::hours(1));
    let page = ada.browser.visit(&world, "account/passkeys").await;
    let code = ada.next(&world);
    let sure = sends_code(&world, &mut ada.browser, &page, &code).await;
    assert_eq!(sure.leads_to().0, "/t/acme/account/passkeys");
    let refreshed = json(app.refreshes(&world, granted["refresh_token"].as_str().unwrap()), StatusCode::OK).await;
    let shown_at = |tokens: &serde_json::Value, name: &str| claims(tokens[name].as_str().unwrap())["auth_time"].clone();
    for token in ["id_token", "access_token"] {
        let (before, after) = (shown_at(&granted, token), shown_at(&refreshed, token));
        assert!(before == after && before != json!(world.now().timestamp()), "{token}: {before}, {after}");
    }
    // New grants have the time of the new authentication.
    let code = ada.browser.visit(&world, &app.asks(&[])).await.code();
    let anew = json(app.redeems(&world, &code, &[]), StatusCode::OK).await;
    assert_eq!(shown_at(&anew, "access_token"), json!(world.now().timestamp()));
}

#[tokio::test]
async fn attack_20_a_code_of_an_authenticator_a_second_time_or_many_at_once() {
    let world = World::start().await;
    let ada = AuthenticatorUser::person(&world).await;
    let app = world.client(true).await;
    let code = ada.next(&world);
    let mut pages = Vec::new();
    for _ in 0..5 {
        let mut browser = Browser::default();
        let page = browser.signs_in(&world, &app.asks(&[]), "ada@example.com", PASSWORD).await;
        pages.push((browser, page));
    }
    let sent = pages.iter_mut().map(|(browser, page)| sends_code(&world, browser, page, &code));
    let won = join_all(sent).await.into_iter().filter(|shown| shown.status == StatusCode::SEE_OTHER).count();
    assert_eq!(won, 1, "one code let {won} in");
    let (browser, page) = &mut pages[0];
    let again = sends_code(&world, browser, page, &code).await;
    assert_eq!(again.status, StatusCode::UNAUTHORIZED, "{again:?}");
}

#[tokio::test]
async fn attack_21_guessing_codes_and_codes_of_other_times() {
    let world = World::start().await;
    let ada = AuthenticatorUser::person(&world).await;
    let app = world.client(true).await;
    let mut browser = Browser::default();
    let page = browser.signs_in(&world, &app.asks(&[]), "ada@example.com", PASSWORD).await;
    world.clock.advance(TimeDelta::minutes(5));
    for off in [-61, 61] {
        let code = ada.authenticator.code(world.now() + TimeDelta::seconds(off)).unwrap();
        let shown = sends_code(&world, &mut browser, &page, &code).await;
        assert_eq!(shown.status, StatusCode::UNAUTHORIZED, "a code that is {off} seconds off: {shown:?}");
    }
    let mut slowed = 0;
    for guess in 0..15 {
        let shown = sends_code(&world, &mut browser, &page, &format!("{guess:06}")).await;
        slowed += usize::from(shown.status == StatusCode::TOO_MANY_REQUESTS);
    }
    assert!(slowed >= 6, "{slowed} of 15 guesses were slowed down");
    let right = sends_code(&world, &mut browser, &page, &ada.next(&world)).await;
    assert_eq!(right.status, StatusCode::TOO_MANY_REQUESTS, "a guess that comes too soon is not even compared");
}

#[tokio::test]
async fn a_recovery_code_stands_in_for_the_device_once() {
    let world = World::start().await;
    let mut ada = AuthenticatorUser::person(&world).await;
    let app = world.client(true).await;
    let mut browser = Browser::default();
    let page = browser.signs_in(&world, &app.asks(&[]), "ada@example.com", PASSWORD).await;
    let code = ada.recovery[3].to_uppercase();
    sends_code(&world, &mut browser, &page, &code).await.code();
    let again = sends_code(&world, &mut Browser::default(), &page, &code).await;
    assert_eq!(again.status, StatusCode::UNAUTHORIZED, "{again:?}");
    let left = ada.browser.visit(&world, PAGE).await;
    assert!(left.body.contains("9 recovery codes left"), "{left:?}");
    // New codes invalidate the old ones, and somebody at an unattended browser can't get any.
    let codes = format!("{PAGE}/codes");
    let without = ada.browser.fill_in(&world, &codes, &[("code", "000000")]).await;
    assert_eq!(without.status, StatusCode::BAD_REQUEST, "{without:?}");
    let now = ada.next(&world);
    let renewed = ada.browser.fill_in(&world, &codes, &[("code", &now)]).await;
    assert_eq!(spans(&renewed).len(), 10, "{renewed:?}");
    let old = sends_code(&world, &mut Browser::default(), &page, &ada.recovery[0]).await;
    assert_eq!(old.status, StatusCode::UNAUTHORIZED, "{old:?}");
}

#[tokio::test]
async fn an_authenticator_is_removed_with_a_code_of_it_only() {
    let world = World::start().await;
    let mut ada = AuthenticatorUser::person(&world).await;
    let remove = format!("{PAGE}/remove");
    let before = world.head().await;
    let without = ada.browser.fill_in(&world, &remove, &[("code", "000000")]).await;
    assert_eq!(without.status, StatusCode::BAD_REQUEST, "{without:?}");
    assert_eq!(world.head().await, before + 1, "one record of it, and nothing else");
    let now = ada.next(&world);
    let removed = ada.browser.fill_in(&world, &remove, &[("code", &now)]).await;
    assert_eq!(removed.leads_to().0, "/t/acme/account");
    let alone = Browser::default().signs_in(&world, "login", "ada@example.com", PASSWORD).await;
    assert_eq!(alone.leads_to().0, "/t/acme/account", "the password alone is enough again");
}

#[tokio::test]
async fn what_was_begun_before_all_sessions_ended_is_not_finished_after_it() {
    let world = World::start().await;
    let ada = AuthenticatorUser::person(&world).await;
    let mut browser = Browser::default();
    let page = browser.signs_in(&world, "login", "ada@example.com", PASSWORD).await;
    world.clock.advance(TimeDelta::seconds(1));
    let user = world.person_id("ada@example.com").await;
    world
        .run_as_admin(&auth_commands::EndSessions {
            user,
            reason: "locked".to_owned(),
            reach: auth_commands::Reach::Everything,
        })
        .await;
    let late = sends_code(&world, &mut browser, &page, &ada.next(&world)).await;
    assert_eq!(late.status, StatusCode::BAD_REQUEST, "{late:?}");
}
