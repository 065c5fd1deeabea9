//! Several sign-ins at one browser, of one person and of several. The numbers are those of docs/src/threat-model.md.

use chrono::TimeDelta;
use reqwest::StatusCode;
use serde_json::Value;
use testbed::Browser;

use crate::world::{OUT, PASSWORD, Visits, World, json, query};

#[tokio::test]
async fn attack_197_what_was_opened_in_an_earlier_session_of_a_browser_ends_when_one_signs_out_there() {
    let world = World::start().await;
    world.person("ada@example.com").await;
    let app = world.client(true).await;
    let (mut browser, mut elsewhere) = (Browser::default(), Browser::default());
    let mut sign_in = async |prompt: &str| {
        let asks = app.asks(&[("scope", "openid api"), ("prompt", prompt)]);
        let code = browser.signs_in(&world, &asks, "ada@example.com", PASSWORD).await.code();
        let tokens = json(app.redeems(&world, &code, &[]), StatusCode::OK).await;
        (tokens, browser.window())
    };
    let (first, mut copied) = sign_in("").await;
    let (second, _) = sign_in("login").await;
    let other = app.tokens(&world, &mut elsewhere).await;
    let check = async |tokens: &Value| world.provider.trust.check(tokens["access_token"].as_str().unwrap()).await;
    for tokens in [&first, &second, &other] {
        assert!(check(tokens).await.is_ok());
    }
    // The client that got tokens in the earlier session signs out of the present one with these, and nobody is asked.
    let hint = [("id_token_hint", first["id_token"].as_str().unwrap()), ("post_logout_redirect_uri", OUT)];
    assert_eq!(browser.visit(&world, &query("logout", &hint)).await.leads_to().0, OUT);
    for tokens in [&first, &second] {
        assert_eq!(check(tokens).await.unwrap_err().code(), "token_revoked");
    }
    assert!(check(&other).await.is_ok(), "another browser was signed out");
    let silently = copied.visit(&world, &app.asks(&[("prompt", "none")])).await;
    assert_eq!(silently.leads_to().1["error"], "login_required", "the cookie of the earlier session is good still");
}

#[tokio::test]
async fn attack_212_sessions_end_when_somebody_else_signs_in_at_their_browser() {
    let world = World::start().await;
    world.person("ada@example.com").await;
    world.person("bob@example.com").await;
    let app = world.client(true).await;
    let (mut browser, mut elsewhere) = (Browser::default(), Browser::default());
    let asks = app.asks(&[("scope", "openid api"), ("prompt", "login")]);
    let mut sign_in = async |login: &str| {
        let code = browser.signs_in(&world, &asks, login, PASSWORD).await.code();
        let tokens = json(app.redeems(&world, &code, &[]), StatusCode::OK).await;
        (tokens, browser.window())
    };
    let (first, _) = sign_in("ada@example.com").await;
    let (second, mut copied) = sign_in("ada@example.com").await;
    let other = app.tokens(&world, &mut elsewhere).await;
    let check = async |tokens: &Value| world.provider.trust.check(tokens["access_token"].as_str().unwrap()).await;
    // Who does not get in ends nothing.
    let refused = copied.window().signs_in(&world, &asks, "bob@example.com", "not the password").await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{refused:?}");
    for tokens in [&first, &second, &other] {
        assert!(check(tokens).await.is_ok());
    }
    let (bobs, _) = sign_in("bob@example.com").await;
    for tokens in [&first, &second] {
        assert_eq!(check(tokens).await.unwrap_err().code(), "token_revoked");
    }
    for tokens in [&other, &bobs] {
        assert!(check(tokens).await.is_ok(), "another session was ended");
    }
    let silently = copied.visit(&world, &app.asks(&[("prompt", "none")])).await;
    assert_eq!(silently.leads_to().1["error"], "login_required", "the cookie of the earlier session is good still");
    let ended = world.events().await.into_iter().filter(|(kind, _)| kind == "auth.session.ended").count();
    assert_eq!(ended, 2, "the two of the person who was there before");
    // Whose sessions have all ended already loses nothing more.
    let (_, mut left) = sign_in("ada@example.com").await;
    // (No other link is mailed for ten minutes.)
    world.clock.advance(TimeDelta::minutes(11));
    world.sets_password(world.person_id("ada@example.com").await, "umbrella-cactus-violin").await;
    let before = world.events().await.len();
    left.signs_in(&world, &asks, "bob@example.com", PASSWORD).await.code();
    let since = world.events().await.split_off(before);
    assert!(since.iter().all(|(kind, _)| kind != "auth.session.ended"), "{since:?}");
}

#[tokio::test]
async fn attack_219_who_was_signed_in_where_somebody_else_is_now_has_no_power_over_their_session() {
    let world = World::start().await;
    let app = world.client(true).await;
    let mut browser = Browser::default();
    let mut tokens = Vec::new();
    for login in ["ada@example.com", "grace@example.com"] {
        world.person(login).await;
        let asks = app.asks(&[("scope", "openid api"), ("prompt", "login")]);
        let code = browser.signs_in(&world, &asks, login, PASSWORD).await.code();
        tokens.push(json(app.redeems(&world, &code, &[]), StatusCode::OK).await);
    }
    let leaves = |tokens: &Value| query("logout", &[("id_token_hint", tokens["id_token"].as_str().unwrap())]);
    let check = async |tokens: &Value| world.provider.trust.check(tokens["access_token"].as_str().unwrap()).await;
    let before = world.head().await;
    let asked = browser.visit(&world, &leaves(&tokens[0])).await;
    assert!(asked.body.contains("name=\"pending\""), "what Ada got signs Grace out: {asked:?}");
    assert_eq!(world.head().await, before, "something was written");
    assert!(check(&tokens[1]).await.is_ok());
    let left = browser.visit(&world, &leaves(&tokens[1])).await;
    assert!(left.body.contains("You are signed out"), "{left:?}");
    assert_eq!(check(&tokens[1]).await.unwrap_err().code(), "token_revoked");
}
