//! Sessions end after inactivity, and together with all others, whatever a clock says.

use std::sync::Arc;

use auth_aggregates::Session;
use auth_commands::{EndSessions, Reach, SetSignInPolicy, protocol};
use chrono::TimeDelta;
use eventstore::EventStore;
use executor::Executor;
use kernel::SystemIds;
use reqwest::StatusCode;
use testbed::Browser;

use crate::world::{App, PASSWORD, Visits, World, claims, json, log_settings};

fn limit(minutes: u32) -> SetSignInPolicy {
    SetSignInPolicy { second_factor: None, session_idle_minutes: Some(minutes), reach: Reach::Everything }
}

/// Whether a browser has a session: a client asks with `prompt=none`.
async fn is_in(world: &World, browser: &mut Browser, app: &App) -> bool {
    let (_, said) = browser.visit(world, &app.asks(&[("prompt", "none")])).await.leads_to();
    match said.get("error") {
        None => said.contains_key("code"),
        Some(error) => {
            assert_eq!(error, "login_required");
            false
        }
    }
}

/// How often the use of a session was recorded.
async fn uses(world: &World) -> usize {
    world.events().await.iter().filter(|(name, _)| name == "auth.session.used").count()
}

#[tokio::test]
async fn attack_99_a_session_that_was_left_behind_at_a_browser() {
    let world = World::start().await;
    world.person("ada@example.com").await;
    let app = world.client(true).await;
    let mut browser = Browser::default();
    browser.signs_in(&world, &app.asks(&[]), "ada@example.com", PASSWORD).await.code();
    world.clock.advance(TimeDelta::days(3) - TimeDelta::seconds(1));
    let mut copy = Browser::default();
    copy.cookies.clone_from(&browser.cookies);
    world.clock.advance(TimeDelta::seconds(1));
    let before = world.head().await;
    for _ in 0..2 {
        assert!(!is_in(&world, &mut copy, &app).await, "three days are a rest");
        let account = copy.visit(&world, "account").await;
        assert_eq!(account.leads_to().0, "/t/acme/login", "{account:?}");
        let page = copy.visit(&world, &app.asks(&[])).await;
        assert!(page.status == StatusCode::OK && page.body.contains("Password"), "{page:?}");
    }
    assert_eq!(world.head().await, before, "something was written");
    browser.signs_in(&world, &app.asks(&[]), "ada@example.com", PASSWORD).await.code();
    assert!(is_in(&world, &mut browser, &app).await, "a new session is none that rested");
}

#[tokio::test]
async fn attack_130_a_session_begun_by_a_clock_that_was_ahead_ends_with_all_others() {
    let world = World::start().await;
    let user = world.person("ada@example.com").await;
    let app = world.client(true).await;
    Browser::default().signs_in(&world, &app.asks(&[]), "ada@example.com", PASSWORD).await.code();
    let mut browser = Browser::default();
    world.clock.advance(TimeDelta::hours(1));
    let tokens = app.tokens(&world, &mut browser).await;
    world.clock.advance(TimeDelta::hours(-1));
    assert!(is_in(&world, &mut browser, &app).await);
    world.run_as_admin(&EndSessions { user, reason: "lost a laptop".to_owned(), reach: Reach::Everything }).await;
    let before = world.head().await;
    assert!(!is_in(&world, &mut browser, &app).await);
    assert_eq!(world.head().await, before, "something was written");
    json(app.refreshes(&world, tokens["refresh_token"].as_str().unwrap()), StatusCode::BAD_REQUEST).await;
    // Nor does it become valid again when the real time has reached the wrong one.
    world.clock.advance(TimeDelta::hours(1));
    assert!(!is_in(&world, &mut browser, &app).await);
    browser.signs_in(&world, &app.asks(&[]), "ada@example.com", PASSWORD).await.code();
    assert!(is_in(&world, &mut browser, &app).await, "what begins afterwards holds");
}

#[tokio::test]
async fn a_session_that_is_used_goes_on_to_its_end_and_its_use_is_written_now_and_then() {
    let world = World::start().await;
    world.person("ada@example.com").await;
    let app = world.client(true).await;
    let mut browser = Browser::default();
    let tokens = app.tokens(&world, &mut browser).await;
    let session = claims(tokens["id_token"].as_str().unwrap())["sid"].as_str().unwrap().to_owned();
    for _ in 0..3 {
        assert!(is_in(&world, &mut browser, &app).await);
    }
    assert_eq!(uses(&world).await, 0, "that somebody signed in says so");
    for nth in 1..=6 {
        world.clock.advance(TimeDelta::hours(55));
        for _ in 0..3 {
            assert!(is_in(&world, &mut browser, &app).await, "after {nth} times 55 hours");
        }
        assert_eq!(uses(&world).await, nth, "once for all that is done in an hour");
    }
    // Another process, which has read nothing yet, agrees.
    let store = EventStore::open(&world.database, log_settings(), world.clock.clone()).await.unwrap();
    let settings = executor::Settings { cache_bytes: 1 << 20, snapshot_events: 0, claim_key: [7; 32] };
    let executor = Executor::new(store.clone(), world.clock.clone(), Arc::new(SystemIds), settings);
    let found = executor.load::<Session>(&protocol(world.tenant.id, "auth"), &session).await.unwrap();
    assert_eq!(found.unwrap().0.used_at, Some(world.now()));
    store.close().await;
    world.clock.advance(TimeDelta::hours(6));
    assert!(!is_in(&world, &mut browser, &app).await, "fourteen days are enough, however it is used");
}

#[tokio::test]
async fn what_goes_on_without_somebody_goes_on_while_their_session_rests_and_does_not_wake_it() {
    let world = World::start().await;
    world.person("ada@example.com").await;
    let app = world.client(true).await;
    let mut browser = Browser::default();
    let mut tokens = app.tokens(&world, &mut browser).await;
    for _ in 0..4 {
        world.clock.advance(TimeDelta::days(1));
        let refresh = tokens["refresh_token"].as_str().unwrap().to_owned();
        tokens = json(app.refreshes(&world, &refresh), StatusCode::OK).await;
    }
    assert!(world.provider.trust.check(tokens["access_token"].as_str().unwrap()).await.is_ok());
    assert_eq!(uses(&world).await, 0, "a client that goes on is nobody at the browser");
    assert!(!is_in(&world, &mut browser, &app).await);
}

#[tokio::test]
async fn a_tenant_says_how_long_a_session_may_rest_and_it_holds_at_once() {
    let world = World::start().await;
    world.person("ada@example.com").await;
    let app = world.client(true).await;
    let before = world.head().await;
    for wrong in [0, 29, 20_161, u32::MAX] {
        let refused = world.try_as_admin(&limit(wrong)).await.unwrap_err();
        assert_eq!(
            (refused.code(), refused.errors()[0].pointer.as_str()),
            ("validation_failed", "/session_idle_minutes")
        );
    }
    let nothing = SetSignInPolicy { session_idle_minutes: None, ..limit(30) };
    let nothing = world.try_as_admin(&nothing).await.unwrap_err();
    assert_eq!(nothing.code(), "validation_failed");
    assert_eq!(world.head().await, before, "something was written");

    let mut browser = Browser::default();
    browser.signs_in(&world, &app.asks(&[]), "ada@example.com", PASSWORD).await.code();
    world.clock.advance(TimeDelta::minutes(31));
    assert!(is_in(&world, &mut browser, &app).await, "three days, where the tenant says nothing");
    world.run_as_admin(&limit(30)).await;
    assert!(!is_in(&world, &mut browser, &app).await, "it has rested for longer");

    browser.signs_in(&world, &app.asks(&[]), "ada@example.com", PASSWORD).await.code();
    for _ in 0..3 {
        world.clock.advance(TimeDelta::minutes(29));
        assert!(is_in(&world, &mut browser, &app).await);
    }
    world.clock.advance(TimeDelta::minutes(30));
    assert!(!is_in(&world, &mut browser, &app).await);
}
