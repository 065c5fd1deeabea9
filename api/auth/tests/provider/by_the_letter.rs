//! Details that the protocols require of a provider.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use reqwest::StatusCode;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use testbed::{Browser, Shown};

use crate::world::{App, OUT, PASSWORD, Visits, World, claims, json, query};

const ADA: &str = "ada@example.com";

/// Signs a user in for a client; returns the browser and the tokens.
async fn signs_in(world: &World, app: &App, login: &str, scope: &str) -> (Browser, Value) {
    let mut browser = Browser::default();
    let code = browser.signs_in(world, &app.asks(&[("scope", scope)]), login, PASSWORD).await.code();
    let tokens = json(app.redeems(world, &code, &[]), StatusCode::OK).await;
    (browser, tokens)
}

fn text<'a>(tokens: &'a Value, name: &str) -> &'a str {
    tokens[name].as_str().unwrap()
}

#[tokio::test]
async fn answers_with_tokens_are_kept_by_nobody_and_a_description_has_the_letters_that_it_may() {
    let world = World::start().await;
    world.person(ADA).await;
    let app = world.client(true).await;
    let code = Browser::default().signs_in(&world, &app.asks(&[]), ADA, PASSWORD).await.code();
    let answer = app.redeems(&world, &code, &[]).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    for (name, value) in [("cache-control", "no-store"), ("pragma", "no-cache")] {
        assert_eq!(answer.headers()[name], value);
    }
    let odd = [("grant_type", "\"sch\u{f6}n\\\"")];
    let refused = world.post("token", &odd).basic_auth(app.id, Some(&app.secret));
    let refused = json(refused, StatusCode::BAD_REQUEST).await;
    let said = text(&refused, "error_description");
    assert!(said.starts_with("there is no grant type 'sch?n/';"), "{said}");
}

#[tokio::test]
async fn userinfo_says_how_a_token_is_shown_and_what_is_wrong_with_one_only_if_there_is_one() {
    let world = World::start().await;
    world.person(ADA).await;
    let app = world.client(true).await;
    let (_, tokens) = signs_in(&world, &app, ADA, "api").await;
    let asked = async |token: Option<&str>| {
        let request = world.get("userinfo");
        let request = token.into_iter().fold(request, reqwest::RequestBuilder::bearer_auth);
        let answer = request.send().await.unwrap();
        let challenge = answer.headers()["www-authenticate"].to_str().unwrap().to_owned();
        (answer.status(), challenge, answer.json::<Value>().await.unwrap()["error"].clone())
    };
    let bearer = |more: &str| format!("Bearer realm=\"inopsio\"{more}");
    assert_eq!(asked(None).await, (StatusCode::UNAUTHORIZED, bearer(""), json!(null)));
    assert_eq!(
        asked(Some("nonsense")).await,
        (StatusCode::UNAUTHORIZED, bearer(", error=\"invalid_token\""), json!("invalid_token"))
    );
    assert_eq!(
        asked(Some(text(&tokens, "access_token"))).await,
        (
            StatusCode::FORBIDDEN,
            bearer(", error=\"insufficient_scope\", scope=\"openid\""),
            json!("insufficient_scope")
        )
    );
}

#[tokio::test]
async fn a_refreshed_id_token_is_of_the_same_sign_in_and_answers_to_no_browser() {
    let world = World::start().await;
    world.person(ADA).await;
    let app = world.client(true).await;
    let (_, first) = signs_in(&world, &app, ADA, "openid offline_access").await;
    world.clock.advance(TimeDelta::minutes(1));
    let second = json(app.refreshes(&world, text(&first, "refresh_token")), StatusCode::OK).await;
    let (first, second) = (claims(text(&first, "id_token")), claims(text(&second, "id_token")));
    for claim in ["iss", "sub", "aud", "auth_time", "sid"] {
        assert!(!first[claim].is_null() && first[claim] == second[claim], "{claim} of {first} and {second}");
    }
    assert!(second["iat"].as_i64() > first["iat"].as_i64(), "{second}");
    assert_eq!((&first["nonce"], second.get("nonce")), (&json!("n-1"), None));
}

#[tokio::test]
async fn a_refresh_for_less_tells_less() {
    let world = World::start().await;
    world.person(ADA).await;
    let app = world.client(true).await;
    let (_, mut tokens) = signs_in(&world, &app, ADA, "openid profile email offline_access").await;
    for (scope, named, mailed) in
        [("openid email", false, true), ("openid profile", true, false), ("email", false, false)]
    {
        let refresh = text(&tokens, "refresh_token").to_owned();
        let form = [("grant_type", "refresh_token"), ("refresh_token", &refresh), ("scope", scope)];
        tokens = json(world.post("token", &form).basic_auth(app.id, Some(&app.secret)), StatusCode::OK).await;
        let id = tokens["id_token"].as_str().map(claims);
        assert_eq!(id.is_some(), scope.contains("openid"), "{scope}: {tokens}");
        let id = id.unwrap_or_default();
        assert_eq!((id["name"].is_string(), id["email"].is_string()), (named, mailed), "{scope}: {id}");
    }
    // The grant keeps its whole scope: the next refresh may request all of it again.
    let whole = json(app.refreshes(&world, text(&tokens, "refresh_token")), StatusCode::OK).await;
    assert!(claims(text(&whole, "id_token"))["name"].is_string(), "{whole}");
}

#[tokio::test]
async fn attack_129_a_client_says_whom_it_means_and_gets_a_code_for_nobody_else() {
    let world = World::start().await;
    let (ada, _) = (world.person(ADA).await, world.person("grace@example.com").await);
    let app = world.client(true).await;
    let (mut of_ada, tokens) = signs_in(&world, &app, ADA, "openid").await;
    let (mut of_grace, _) = signs_in(&world, &app, "grace@example.com", "openid").await;
    let hint = text(&tokens, "id_token");
    let with = |more: &[(&str, &str)]| app.asks(more);
    let error = |shown: &Shown| shown.leads_to().1.get("error").cloned();

    // Her ID token is accepted, even long after it has expired.
    world.clock.advance(TimeDelta::hours(2));
    for more in [&[("id_token_hint", hint)][..], &[("id_token_hint", hint), ("prompt", "none")]] {
        of_ada.visit(&world, &with(more)).await.code();
    }
    // In somebody else's browser she is not assumed to be signed in, and a sign-in by that other user leads to no code.
    let silent = [("id_token_hint", hint), ("prompt", "none")];
    // Her request also records that the session is in use, which happens once an hour.
    of_grace.visit(&world, "account").await;
    let before = world.head().await;
    assert_eq!(error(&of_grace.visit(&world, &with(&silent)).await).as_deref(), Some("login_required"));
    assert_eq!(world.head().await, before, "something was granted");
    let page = of_grace.visit(&world, &with(&[("id_token_hint", hint)])).await;
    assert!(page.status == StatusCode::OK && page.body.contains("Password"), "{page:?}");
    let other = of_grace.signs_in(&world, &with(&[("id_token_hint", hint)]), "grace@example.com", PASSWORD).await;
    assert_eq!(error(&other).as_deref(), Some("login_required"));
    let herself = of_grace.signs_in(&world, &with(&[("id_token_hint", hint)]), ADA, PASSWORD).await;
    let tokens = json(app.redeems(&world, &herself.code(), &[]), StatusCode::OK).await;
    assert_eq!(claims(text(&tokens, "id_token"))["sub"], json!(ada));
    let forged = format!("{}x", &hint[..hint.len() - 2]);
    for hint in ["nonsense", &forged] {
        assert_eq!(
            error(&of_ada.visit(&world, &with(&[("id_token_hint", hint)])).await).as_deref(),
            Some("invalid_request")
        );
    }
}

#[tokio::test]
async fn attack_129_a_name_that_a_client_guesses_is_asked_for_once_and_tells_nothing_of_who_there_is() {
    let world = World::start().await;
    world.person(ADA).await;
    world.person("grace@example.com").await;
    let app = world.client(true).await;
    let (mut browser, _) = signs_in(&world, &app, ADA, "openid").await;
    for own in ["ada@example.com", " ADA@example.com ", "+4930123456"] {
        browser.visit(&world, &app.asks(&[("login_hint", own), ("prompt", "none")])).await.code();
    }
    // The response is the same whether the user exists or not.
    for other in ["grace@example.com", "nobody@example.com"] {
        let silent = browser.visit(&world, &app.asks(&[("login_hint", other), ("prompt", "none")])).await;
        assert_eq!(silent.leads_to().1["error"], "login_required", "{other}");
        let page = browser.visit(&world, &app.asks(&[("login_hint", other)])).await;
        assert!(page.body.contains(&format!("value=\"{other}\"")), "{other} is not filled in: {page:?}");
    }
    // The hint may be wrong: whoever signs in goes on.
    browser.signs_in(&world, &app.asks(&[("login_hint", "nobody@example.com")]), ADA, PASSWORD).await.code();
}

#[tokio::test]
async fn attack_128_a_client_signs_out_with_its_own_id_token_and_not_with_another_ones() {
    let world = World::start().await;
    world.person(ADA).await;
    let (app, other) = (world.client(true).await, world.client(true).await);
    let (mut browser, tokens) = signs_in(&world, &app, ADA, "openid").await;
    let (hint, others, own) = (text(&tokens, "id_token"), other.id.to_string(), app.id.to_string());
    let before = world.head().await;
    for client in [&*others, "nonsense"] {
        let leave = [("id_token_hint", hint), ("client_id", client), ("post_logout_redirect_uri", OUT)];
        let refused = browser.visit(&world, &query("logout", &leave)).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{client}: {refused:?}");
    }
    assert_eq!(world.head().await, before, "the session was ended");
    let leave = [("id_token_hint", hint), ("client_id", &own), ("post_logout_redirect_uri", OUT)];
    assert_eq!(browser.visit(&world, &query("logout", &leave)).await.leads_to().0, OUT);
}

#[tokio::test]
async fn attack_128_what_a_client_said_beforehand_is_good_for_one_code() {
    let world = World::start().await;
    world.person(ADA).await;
    let app = world.client(true).await;
    let asks = app.asks(&[]);
    let fields: Vec<(String, String)> =
        url::form_urlencoded::parse(asks.split_once('?').unwrap().1.as_bytes()).into_owned().collect();
    let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let id = app.id.to_string();
    let push = async || {
        let pushed = world.post("par", &fields).basic_auth(app.id, Some(&app.secret));
        let uri = json(pushed, StatusCode::CREATED).await["request_uri"].as_str().unwrap().to_owned();
        query("authorize", &[("client_id", &id), ("request_uri", &uri)])
    };
    let refers = push().await;
    let mut browser = Browser::default();
    // Loading the page again before signing in is still the same request.
    assert!(browser.visit(&world, &refers).await.body.contains("Password"));
    let first = browser.signs_in(&world, &refers, ADA, PASSWORD).await.code();
    let before = world.head().await;
    for browser in [&mut browser, &mut Browser::default()] {
        let again = browser.visit(&world, &refers).await;
        assert_eq!(again.status, StatusCode::BAD_REQUEST, "{again:?}");
    }
    assert_eq!(world.head().await, before, "something was granted");
    json(app.redeems(&world, &first, &[]), StatusCode::OK).await;

    // Of two concurrent sign-ins with the same request, one succeeds.
    let refers = push().await;
    let mut windows = [Browser::default(), Browser::default()];
    let mut pages = Vec::new();
    for window in &mut windows {
        pages.push(window.visit(&world, &refers).await.hidden("pending"));
    }
    let mut codes = 0;
    for (window, pending) in windows.iter_mut().zip(&pages) {
        let form = [("pending", pending.as_str()), ("login", ADA), ("password", PASSWORD)];
        let shown = window.fill_in(&world, "login", &form).await;
        codes += usize::from(shown.status == StatusCode::SEE_OTHER);
        assert!([StatusCode::SEE_OTHER, StatusCode::BAD_REQUEST].contains(&shown.status), "{shown:?}");
    }
    assert_eq!(codes, 1);
    browser.visit(&world, &push().await).await.code();
}

#[tokio::test]
async fn attack_142_a_request_that_says_in_another_way_than_it_shows_whose_it_is() {
    let world = World::start().await;
    world.person(ADA).await;
    let (app, other) = (world.client(true).await, world.client(true).await);
    let (mut browser, _) = signs_in(&world, &app, ADA, "openid").await;
    let code = browser.visit(&world, &app.asks(&[("scope", "openid")])).await.code();
    let (own, others) = (app.id.to_string(), other.id.to_string());
    let before = world.head().await;
    for path in ["token", "introspect", "revoke", "par", "device_authorization"] {
        let form =
            [("client_id", others.as_str()), ("token", "t"), ("scope", "openid"), ("grant_type", "refresh_token")];
        let refused = world.post(path, &form).basic_auth(app.id, Some(&app.secret));
        assert_eq!(json(refused, StatusCode::BAD_REQUEST).await["error"], "invalid_request", "{path}");
    }
    let refused = json(app.redeems(&world, &code, &[("client_id", &others)]), StatusCode::BAD_REQUEST).await;
    assert_eq!(refused["error"], "invalid_request");
    // The parameter that carries a pushed request's id can't be forged.
    for which in ["0197a8a0-0000-7000-8000-000000000001", "v1.AAAA", "x"] {
        let shown = browser.visit(&world, &app.asks(&[("pushed_request", which)])).await;
        assert_eq!(shown.status, StatusCode::BAD_REQUEST, "{which}: {shown:?}");
    }
    assert_eq!(world.head().await, before, "something was written");
    json(app.redeems(&world, &code, &[("client_id", &own)]), StatusCode::OK).await;
}

#[tokio::test]
async fn what_is_asked_for_in_a_form_that_there_is_not_is_refused() {
    let world = World::start().await;
    world.person(ADA).await;
    let app = world.client(true).await;
    let (mut browser, tokens) = signs_in(&world, &app, ADA, "openid api").await;
    let before = world.head().await;
    for prompt in ["create", "login nothing", "None"] {
        let back = browser.visit(&world, &app.asks(&[("prompt", prompt)])).await;
        assert_eq!(back.leads_to().1["error"], "invalid_request", "{prompt}");
    }
    assert_eq!(world.head().await, before, "something was written");
    // A code can't be redeemed by a malformed verifier, even if its hash is the challenge.
    for verifier in ["x".repeat(42), "x".repeat(129), "\u{fc}".repeat(43)] {
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&verifier));
        let code = browser.visit(&world, &app.asks(&[("code_challenge", &challenge)])).await.code();
        let refused = app.redeems(&world, &code, &[("code_verifier", &verifier)]);
        assert_eq!(json(refused, StatusCode::BAD_REQUEST).await["error"], "invalid_grant");
        assert_eq!(world.last_event().await.1["reason"], "code_mismatch");
    }
    // Introspection tells a resource server how and when the user authenticated.
    let asked = world.post("introspect", &[("token", text(&tokens, "access_token"))]);
    let told = json(asked.basic_auth(app.id, Some(&app.secret)), StatusCode::OK).await;
    let said = claims(text(&tokens, "access_token"));
    for name in ["acr", "amr", "auth_time", "sid"] {
        assert!(!told[name].is_null() && told[name] == said[name], "{name}: {told}");
    }
    let trusted = world.provider.trust.check(text(&tokens, "access_token")).await.unwrap();
    assert_eq!(json!(trusted.authenticated_at.map(|at| at.timestamp())), said["auth_time"]);
}

/// What the browser is to visit after another site posted a form to this page: browsers send such a form without our cookies.
async fn posted_elsewhere(world: &World, asks: &str) -> String {
    let (page, form) = asks.split_once('?').unwrap();
    let request = world.http.post(format!("{}/{page}", world.issuer())).body(form.to_owned());
    let answer = request.header("content-type", "application/x-www-form-urlencoded").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    assert!(answer.headers().get("set-cookie").is_none(), "the browser loses its session before it is ended");
    answer.headers()["location"].to_str().unwrap().strip_prefix("/t/acme/").unwrap().to_owned()
}

#[tokio::test]
async fn a_client_may_post_its_requests_and_who_is_signed_in_is_known_all_the_same() {
    let world = World::start().await;
    world.person(ADA).await;
    let app = world.client(true).await;
    let (mut browser, tokens) = signs_in(&world, &app, ADA, "openid api").await;
    let before = world.head().await;
    let silently = posted_elsewhere(&world, &app.asks(&[("prompt", "none")])).await;
    let hint = [("id_token_hint", text(&tokens, "id_token")), ("post_logout_redirect_uri", OUT), ("state", "bye")];
    let leaves = posted_elsewhere(&world, &query("logout", &hint)).await;
    assert_eq!(world.head().await, before, "something was written");
    browser.visit(&world, &silently).await.code();
    assert!(world.provider.trust.check(text(&tokens, "access_token")).await.is_ok());
    assert_eq!(browser.visit(&world, &leaves).await.leads_to().0, format!("{OUT}?state=bye"));
    let refused = world.provider.trust.check(text(&tokens, "access_token")).await.unwrap_err();
    assert_eq!(refused.code(), "token_revoked", "the session goes on, and whoever has its cookie");
    // What can't be repeated is answered as it is.
    let (twice, long) = ([("client_id", "a"), ("client_id", "b")], "s".repeat(7_000));
    assert_eq!(world.post("authorize", &twice).send().await.unwrap().status(), StatusCode::BAD_REQUEST);
    assert_eq!(world.post("logout", &[("state", &long)]).send().await.unwrap().status(), StatusCode::OK);
}
