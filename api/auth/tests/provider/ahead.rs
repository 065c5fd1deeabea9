//! Clocks that were ahead and have been corrected. The numbers are those of docs/src/threat-model.md.

use auth_aggregates::Algorithm;
use auth_commands::{EndSessions, Reach, RetireSigningKey, RevokeConsent};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use reqwest::StatusCode;
use serde_json::Value;
use testbed::Browser;

use crate::second_factor::{AuthenticatorUser, sends_code};
use crate::world::{PASSWORD, Visits, World, json};

const AUTHENTICATOR: &str = "account/authenticator";

/// How far a clock is ahead.
const AHEAD: TimeDelta = TimeDelta::hours(1);

/// Ends all sessions of Ada.
async fn ends_all(world: &World) {
    let user = world.person_id("ada@example.com").await;
    world.run_as_admin(&EndSessions { user, reason: "lost a laptop".to_owned(), reach: Reach::Everything }).await;
}

#[tokio::test]
async fn attack_134_what_was_begun_by_a_clock_that_was_ahead_is_not_finished_once_all_sessions_ended() {
    let world = World::start().await;
    let ada = AuthenticatorUser::person(&world).await;
    let mut thief = Browser::default();
    world.clock.advance(AHEAD);
    let page = thief.signs_in(&world, "login", "ada@example.com", PASSWORD).await;
    assert!(page.body.contains("one-time-code"), "{page:?}");
    world.clock.advance(-AHEAD);
    ends_all(&world).await;
    // Neither at once, nor when the real time has reached the wrong one.
    for later in [TimeDelta::zero(), AHEAD] {
        world.clock.advance(later);
        let (code, before) = (ada.next(&world), world.head().await);
        let late = sends_code(&world, &mut thief, &page, &code).await;
        assert!(late.status == StatusCode::BAD_REQUEST && thief.cookies.is_empty(), "{late:?}");
        assert_eq!(world.head().await, before, "something was written");
    }
    let page = thief.signs_in(&world, "login", "ada@example.com", PASSWORD).await;
    let shown = sends_code(&world, &mut thief, &page, &ada.next(&world)).await;
    assert_eq!(shown.leads_to().0, "/t/acme/account", "what begins afterwards is finished");
}

#[tokio::test]
async fn attack_135_all_sessions_that_a_clock_that_is_ahead_ends_keep_nobody_out() {
    let world = World::start().await;
    let mut ada = AuthenticatorUser::person(&world).await;
    let app = world.client(true).await;
    world.clock.advance(AHEAD);
    ends_all(&world).await;
    world.clock.advance(-AHEAD);
    let before = world.head().await;
    assert_eq!(ada.browser.visit(&world, "account").await.leads_to().0, "/t/acme/login");
    assert_eq!(world.head().await, before, "something was written");
    let mut browser = Browser::default();
    let page = browser.signs_in(&world, &app.asks(&[]), "ada@example.com", PASSWORD).await;
    let code = sends_code(&world, &mut browser, &page, &ada.next(&world)).await.code();
    let tokens = json(app.redeems(&world, &code, &[]), StatusCode::OK).await;
    assert!(world.provider.trust.check(tokens["access_token"].as_str().unwrap()).await.is_ok());
    json(app.refreshes(&world, tokens["refresh_token"].as_str().unwrap()), StatusCode::OK).await;
    assert_eq!(browser.visit(&world, "account").await.status, StatusCode::OK);
}

#[tokio::test]
async fn attack_137_who_showed_who_they_are_by_a_clock_that_was_ahead_shows_it_once_more() {
    let world = World::start().await;
    world.person("ada@example.com").await;
    let app = world.client(true).await;
    let mut browser = Browser::default();
    world.clock.advance(AHEAD);
    browser.signs_in(&world, "login", "ada@example.com", PASSWORD).await;
    world.clock.advance(-AHEAD);
    let before = world.head().await;
    let page = browser.visit(&world, AUTHENTICATOR).await;
    assert!(page.status == StatusCode::OK && page.body.contains("Password"), "{page:?}");
    let silently = browser.visit(&world, &app.asks(&[("max_age", "600"), ("prompt", "none")])).await;
    assert_eq!(silently.leads_to().1["error"], "login_required");
    assert_eq!(world.head().await, before, "something was written");
    assert_eq!(browser.visit(&world, "account").await.status, StatusCode::OK, "they are signed in still");
    browser.signs_in(&world, AUTHENTICATOR, "ada@example.com", PASSWORD).await.leads_to();
    assert!(browser.visit(&world, AUTHENTICATOR).await.body.contains("<svg"));
    browser.visit(&world, &app.asks(&[("max_age", "600"), ("prompt", "none")])).await.code();
}

#[tokio::test]
async fn attack_138_a_page_that_was_opened_by_a_clock_that_was_ahead_is_not_good_for_longer() {
    let world = World::start().await;
    let ada = AuthenticatorUser::person(&world).await;
    let mut browser = Browser::default();
    world.clock.advance(AHEAD);
    let page = browser.signs_in(&world, "login", "ada@example.com", PASSWORD).await;
    world.clock.advance(-AHEAD);
    let (code, before) = (ada.next(&world), world.head().await);
    let early = sends_code(&world, &mut browser, &page, &code).await;
    assert!(early.status == StatusCode::BAD_REQUEST && early.body.contains("expired"), "{early:?}");
    assert_eq!(world.head().await, before, "something was written");
}

#[tokio::test]
async fn attack_139_what_was_granted_by_a_clock_that_was_ahead_ends_when_it_is_taken_back() {
    let world = World::start().await;
    let user = world.person("ada@example.com").await;
    let app = world.client(false).await;
    let consents = async || {
        let mut browser = Browser::default();
        let page = browser.signs_in(&world, &app.asks(&[]), "ada@example.com", PASSWORD).await;
        let fields = [("pending", page.hidden("pending")), ("decision", "allow".to_owned())];
        let fields = fields.each_ref().map(|(name, value)| (*name, value.as_str()));
        let code = browser.fill_in(&world, "consent", &fields).await.code();
        let tokens = json(app.redeems(&world, &code, &[]), StatusCode::OK).await;
        tokens["refresh_token"].as_str().unwrap().to_owned()
    };
    let takes_back =
        async || world.run_as_admin(&RevokeConsent { user, client: app.id, reach: Reach::Everything }).await;
    world.clock.advance(AHEAD);
    let refresh = consents().await;
    world.clock.advance(-AHEAD);
    takes_back().await;
    for later in [TimeDelta::zero(), AHEAD] {
        world.clock.advance(later);
        let before = world.head().await;
        json(app.refreshes(&world, &refresh), StatusCode::BAD_REQUEST).await;
        assert_eq!(world.head().await, before, "something was written");
    }
    // Consent that was withdrawn by a clock that is ahead can be given again.
    consents().await;
    world.clock.advance(AHEAD);
    takes_back().await;
    world.clock.advance(-AHEAD);
    let refresh = consents().await;
    json(app.refreshes(&world, &refresh), StatusCode::OK).await;
}

#[tokio::test]
async fn keys_that_were_read_by_a_clock_that_was_ahead_are_read_again_when_it_is_right() {
    let world = World::start().await;
    world.person("ada@example.com").await;
    let app = world.client(true).await;
    let authority = &world.provider.authority;
    let rotate = authority.executor().internal_request(&world.admin(), None);
    authority.rotate(&rotate, Algorithm::EdDSA).await.unwrap();
    world.clock.advance(TimeDelta::minutes(59));
    let tokens = app.tokens(&world, &mut Browser::default()).await;
    let token = tokens["access_token"].as_str().unwrap();
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    let kid = serde_json::from_slice::<Value>(&header).unwrap()["kid"].as_str().unwrap().to_owned();
    // The other key signs now.
    world.clock.advance(TimeDelta::minutes(2));
    assert!(world.provider.trust.check(token).await.is_ok());
    world.clock.advance(AHEAD);
    assert!(authority.ring(world.tenant.id).await.unwrap().is_some());
    world.clock.advance(-AHEAD);
    // By another process, so that this one is not notified.
    world.run_as_admin(&RetireSigningKey { kid, reach: Reach::Everything }).await;
    world.clock.advance(TimeDelta::minutes(1));
    assert_eq!(world.provider.trust.check(token).await.unwrap_err().code(), "token_invalid");
}
