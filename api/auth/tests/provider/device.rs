//! The device authorization grant.

use auth_aggregates::EndReason;
use auth_commands::{ConfirmSession, EndSession, EndSessions, Reach, WithdrawConsent};
use chrono::TimeDelta;
use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Value, json};
use testbed::{Browser, Shown};

use crate::world::{App, PASSWORD, Visits, World, claims, json};

async fn asks(world: &World, app: &App) -> Value {
    asks_for(world, app, "openid email api offline_access").await
}

async fn asks_for(world: &World, app: &App, scope: &str) -> Value {
    let asked = world.post("device_authorization", &[("scope", scope)]);
    json(asked.basic_auth(app.id, Some(&app.secret)), StatusCode::OK).await
}

fn polls(world: &World, app: &App, asked: &Value) -> RequestBuilder {
    world.clock.advance(TimeDelta::seconds(5));
    let fields = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
        ("device_code", asked["device_code"].as_str().unwrap()),
    ];
    world.post("token", &fields).basic_auth(app.id, Some(&app.secret))
}

async fn told(world: &World, app: &App, asked: &Value) -> String {
    let answer = json(polls(world, app, asked), StatusCode::BAD_REQUEST).await;
    answer["error"].as_str().unwrap().to_owned()
}

/// Opens the link that a device shows.
async fn opens(world: &World, browser: &mut Browser, asked: &Value) -> Shown {
    let link = asked["verification_uri_complete"].as_str().unwrap();
    browser.visit(world, link.strip_prefix(&format!("{}/", world.issuer())).unwrap()).await
}

#[tokio::test]
async fn a_device_is_let_in_after_somebody_typed_its_code_and_said_yes() {
    let world = World::start().await;
    let ada = world.person("ada@example.com").await;
    let app = world.client(false).await;
    let asked = asks(&world, &app).await;
    assert_eq!((&asked["interval"], &asked["expires_in"]), (&json!(5), &json!(600)), "{asked}");
    assert_eq!(told(&world, &app, &asked).await, "authorization_pending");
    let mut browser = Browser::default();
    let login = opens(&world, &mut browser, &asked).await;
    let pending = login.hidden("pending");
    let fields = [("pending", pending.as_str()), ("login", "ada@example.com"), ("password", PASSWORD)];
    let led = browser.fill_in(&world, "login", &fields).await.leads_to().0;
    let code = asked["user_code"].as_str().unwrap();
    assert_eq!(led, format!("/t/acme/device?user_code={code}"));
    let typed = code.replace('-', " ").to_lowercase();
    let page = browser.visit(&world, &format!("device?user_code={}", typed.replace(' ', "+"))).await;
    assert!(page.body.contains("The App") && page.body.contains("see your e-mail address"), "{page:?}");
    assert!(page.body.contains(code), "what the device has to show: {page:?}");
    let pending = page.hidden("pending");
    browser.fill_in(&world, "device", &[("pending", &pending), ("decision", "allow")]).await;
    let tokens = json(polls(&world, &app, &asked), StatusCode::OK).await;
    assert_eq!(claims(tokens["id_token"].as_str().unwrap())["sub"], json!(ada));
    assert!(world.provider.trust.check(tokens["access_token"].as_str().unwrap()).await.is_ok());
    json(app.refreshes(&world, tokens["refresh_token"].as_str().unwrap()), StatusCode::OK).await;
    assert_eq!(told(&world, &app, &asked).await, "invalid_grant", "a code lets in once");
    let again = opens(&world, &mut browser, &asked).await;
    assert_eq!(again.status, StatusCode::NOT_FOUND, "{again:?}");
}

#[tokio::test]
async fn a_device_is_told_of_a_no_of_too_much_asking_and_of_the_end_of_its_time() {
    let world = World::start().await;
    world.person("ada@example.com").await;
    let (app, other) = (world.client(false).await, world.client(false).await);
    let asked = asks(&world, &app).await;
    assert_eq!(told(&world, &app, &asked).await, "authorization_pending");
    world.clock.advance(TimeDelta::seconds(-1));
    assert_eq!(told(&world, &app, &asked).await, "slow_down");
    let mut browser = Browser::default();
    browser.signs_in(&world, "login", "ada@example.com", PASSWORD).await;
    let page = opens(&world, &mut browser, &asked).await;
    let pending = page.hidden("pending");
    browser.fill_in(&world, "device", &[("pending", &pending), ("decision", "deny")]).await;
    assert_eq!(told(&world, &other, &asked).await, "invalid_grant", "another client's code");
    assert_eq!(told(&world, &app, &asked).await, "access_denied");
    let late = asks(&world, &app).await;
    let page = opens(&world, &mut browser, &late).await;
    world.clock.advance(TimeDelta::minutes(10));
    assert_eq!(told(&world, &app, &late).await, "expired_token");
    let before = world.head().await;
    let pending = page.hidden("pending");
    let shown = browser.fill_in(&world, "device", &[("pending", &pending), ("decision", "allow")]).await;
    assert_eq!(shown.status, StatusCode::NOT_FOUND, "{shown:?}");
    assert_eq!(world.head().await, before, "something was written");
}

/// Signs in again and allows a device, which has not fetched its tokens yet.
async fn allowed(world: &World, app: &App, scope: &str) -> Value {
    let asked = asks_for(world, app, scope).await;
    let mut browser = Browser::default();
    browser.signs_in(world, "login", "ada@example.com", PASSWORD).await;
    let page = opens(world, &mut browser, &asked).await;
    let pending = page.hidden("pending");
    let done = browser.fill_in(world, "device", &[("pending", &pending), ("decision", "allow")]).await;
    assert_eq!(done.status, StatusCode::OK, "{done:?}");
    // The account page lists it with the user's other applications, and it can be withdrawn there.
    assert!(browser.visit(world, "account").await.body.contains("The App"));
    world.clock.advance(TimeDelta::seconds(1));
    asked
}

#[tokio::test]
async fn what_somebody_shows_after_they_let_a_device_in_makes_its_tokens_no_younger() {
    let world = World::start().await;
    world.person("ada@example.com").await;
    let app = world.client(false).await;
    let asked = allowed(&world, &app, "openid").await;
    let later = world.now();
    world.clock.advance(TimeDelta::minutes(1));
    let confirm = ConfirmSession { session: world.last_session_id().await, methods: vec!["otp".to_owned()] };
    world.run_as_protocol(&confirm).await.unwrap();
    let tokens = json(polls(&world, &app, &asked), StatusCode::OK).await;
    let shown_at = claims(tokens["id_token"].as_str().unwrap())["auth_time"].as_i64().unwrap();
    assert!(shown_at < later.timestamp(), "{shown_at}");
}

/// Checks that a device that was allowed gets no tokens any more, and that nothing is written.
async fn not_let_in(world: &World, app: &App, asked: &Value, after: &str) {
    let before = world.head().await;
    assert_eq!(told(world, app, asked).await, "invalid_grant", "after {after}");
    assert_eq!(world.head().await, before, "after {after} something was written");
}

#[tokio::test]
async fn attack_108_a_devices_approval_does_not_outlive_what_ends_all_that_was_approved() {
    let world = World::start().await;
    let ada = world.person("ada@example.com").await;
    let app = world.client(false).await;
    let (offline, here) = ("api offline_access", "api");
    let asked = allowed(&world, &app, offline).await;
    world.run_as_admin(&EndSessions { user: ada, reason: "by_the_person".to_owned(), reach: Reach::Everything }).await;
    not_let_in(&world, &app, &asked, "the end of all sessions").await;
    let asked = allowed(&world, &app, offline).await;
    world.sets_password(ada, PASSWORD).await;
    not_let_in(&world, &app, &asked, "a new password").await;
    let asked = allowed(&world, &app, offline).await;
    world.run_as_protocol(&WithdrawConsent { user: ada, client: app.id }).await.unwrap();
    not_let_in(&world, &app, &asked, "a consent that was taken back").await;
    let asked = allowed(&world, &app, here).await;
    let session = world.last_session_id().await;
    world.run_as_protocol(&EndSession { session, reason: EndReason::SignedOut }).await.unwrap();
    not_let_in(&world, &app, &asked, "the end of the session").await;
    // Offline access is granted even after the user signs out, but not after all sessions were ended later.
    let asked = allowed(&world, &app, offline).await;
    let session = world.last_session_id().await;
    world.run_as_protocol(&EndSession { session, reason: EndReason::SignedOut }).await.unwrap();
    let tokens = json(polls(&world, &app, &asked), StatusCode::OK).await;
    world.run_as_admin(&EndSessions { user: ada, reason: "by_the_person".to_owned(), reach: Reach::Everything }).await;
    json(app.refreshes(&world, tokens["refresh_token"].as_str().unwrap()), StatusCode::BAD_REQUEST).await;
}

#[tokio::test]
async fn attack_22_guessing_the_codes_of_devices() {
    let world = World::start().await;
    world.person("ada@example.com").await;
    let app = world.client(false).await;
    let asked = asks(&world, &app).await;
    let mut browser = Browser::default();
    browser.signs_in(&world, "login", "ada@example.com", PASSWORD).await;
    let before = world.head().await;
    let mut slowed = 0;
    for guess in ["BBBB-BBBB", "CCCC-CCCC", "DDDD-DDDD", "FFFF-FFFF"].iter().cycle().take(16) {
        let shown = browser.visit(&world, &format!("device?user_code={guess}")).await;
        assert!([StatusCode::NOT_FOUND, StatusCode::TOO_MANY_REQUESTS].contains(&shown.status), "{shown:?}");
        slowed += usize::from(shown.status == StatusCode::TOO_MANY_REQUESTS);
    }
    assert!(slowed >= 4, "{slowed} of 16 guesses were slowed down");
    let right = opens(&world, &mut browser, &asked).await;
    assert_eq!(right.status, StatusCode::TOO_MANY_REQUESTS, "a guess that comes too soon is not even looked up");
    assert_eq!(world.head().await, before, "something was written");
}

#[tokio::test]
async fn attack_114_who_guesses_the_codes_of_devices_keeps_nobody_elses_out() {
    let world = World::start().await;
    world.person("ada@example.com").await;
    world.person("grace@example.com").await;
    let app = world.client(false).await;
    let asked = asks(&world, &app).await;
    let (mut ada, mut grace) = (Browser::default(), Browser::default());
    ada.signs_in(&world, "login", "ada@example.com", PASSWORD).await;
    grace.signs_in(&world, "login", "grace@example.com", PASSWORD).await;
    let mut slowed = 0;
    for _ in 0..60 {
        let shown = ada.visit(&world, "device?user_code=BBBB-BBBB").await;
        slowed += usize::from(shown.status == StatusCode::TOO_MANY_REQUESTS);
    }
    assert!(slowed >= 45, "{slowed} of 60 guesses were slowed down");
    // Even from the same network.
    let page = opens(&world, &mut grace, &asked).await;
    assert!(page.status == StatusCode::OK && page.body.contains("The App"), "{page:?}");
}

#[tokio::test]
async fn attack_90_asking_for_codes_without_end_needs_no_secret_and_is_slowed_down() {
    let world = World::start().await;
    let fields = auth_commands::ClientFields {
        name: "TV".to_owned(),
        redirect_uris: vec!["http://127.0.0.1/back".to_owned()],
        ..auth_commands::ClientFields::default()
    };
    let tv = world.run_as_admin(&auth_commands::RegisterClient { fields, reach: Reach::Everything }).await.to_string();
    let app = world.client(false).await;
    asks(&world, &app).await;
    let before = world.head().await;
    let (mut codes, mut slowed) = (0, 0);
    for _ in 0..60 {
        let answer =
            world.post("device_authorization", &[("client_id", &tv), ("scope", "openid")]).send().await.unwrap();
        match answer.status() {
            StatusCode::OK => codes += 1,
            StatusCode::TOO_MANY_REQUESTS => {
                assert!(answer.headers()["retry-after"].to_str().unwrap().parse::<u64>().is_ok());
                slowed += 1;
            }
            other => panic!("{other}"),
        }
    }
    assert!(codes >= 30 && slowed >= 15, "{codes} codes, {slowed} slowed down");
    assert_eq!(world.head().await - before, codes, "what was slowed down was written");
    // A confidential client is not affected by the limit for public ones.
    asks(&world, &app).await;
}
