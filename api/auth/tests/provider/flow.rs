//! Sign-in for a client, from the first page to sign-out.

use auth_commands::{DeactivateClient, EndSessions, Reach, RevokeSession};
use chrono::TimeDelta;
use reqwest::StatusCode;
use serde_json::json;
use testbed::Browser;

use crate::world::{BACK, OUT, PASSWORD, Visits, World, claims, json, query};

#[tokio::test]
async fn somebody_signs_in_consents_and_the_client_learns_who_it_is() {
    let world = World::start().await;
    let (ada, app) = (world.person("ada@example.com").await, world.client(false).await);
    let mut browser = Browser::default();
    let consent = browser.signs_in(&world, &app.asks(&[]), "Ada@Example.com", PASSWORD).await;
    assert_eq!(consent.status, StatusCode::OK, "{consent:?}");
    for shown in ["The App", "Ada Lovelace", "see your e-mail address", "keep access while you are away"] {
        assert!(consent.body.contains(shown), "{shown} is not in {}", consent.body);
    }
    let form = [("pending", consent.hidden("pending")), ("decision", "allow".to_owned())];
    let form: Vec<_> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let back = browser.fill_in(&world, "consent", &form).await;
    let (location, parameters) = back.leads_to();
    assert!(location.starts_with(&format!("{BACK}&code=")), "{location}");
    assert_eq!((parameters["state"].as_str(), parameters["iss"].as_str()), ("s&t=1", world.issuer().as_str()));

    let tokens = json(app.redeems(&world, &back.code(), &[]), StatusCode::OK).await;
    let id = claims(tokens["id_token"].as_str().unwrap());
    for (claim, value) in [
        ("iss", json!(world.issuer())),
        ("sub", json!(ada)),
        ("aud", json!(app.id)),
        ("nonce", json!("n-1")),
        ("acr", json!("aal1")),
        ("amr", json!(["pwd"])),
        ("email", json!("ada@example.com")),
    ] {
        assert_eq!(id[claim], value, "{claim} of {id}");
    }
    let access = tokens["access_token"].as_str().unwrap();
    let said = claims(access);
    assert_eq!((&said["roles"], &said["sid"]), (&json!(["member"]), &id["sid"]), "{said}");
    let trusted = world.provider.trust.check(access).await.unwrap();
    assert_eq!((trusted.tenant, trusted.subject), (world.tenant.id, ada.to_string()));
    let info = json(world.get("userinfo").bearer_auth(access), StatusCode::OK).await;
    assert_eq!(
        info,
        json!({
            "sub": ada, "name": "Ada Lovelace", "given_name": "Ada", "family_name": "Lovelace",
            "preferred_username": "ada@example.com", "picture": "https://example.com/ada.png", "locale": "en",
            "zoneinfo": "Europe/London", "updated_at": 86_400, "email": "ada@example.com", "email_verified": true,
        })
    );
    // Each claim in the token is among the supported claims in the metadata.
    let found = json(world.get(".well-known/openid-configuration"), StatusCode::OK).await;
    let supported = found["claims_supported"].as_array().unwrap();
    for claim in info.as_object().unwrap().keys().chain(id.as_object().unwrap().keys()) {
        assert!(supported.contains(&json!(claim)), "{claim} is not in {supported:?}");
    }

    // The second time, the user is not asked for anything.
    let again = browser.visit(&world, &app.asks(&[("prompt", "none")])).await;
    assert_eq!(again.leads_to().0.split("code=").count(), 2);
}

#[tokio::test]
async fn refresh_tokens_rotate_and_the_reuse_of_an_old_one_ends_the_family() {
    let world = World::start().await;
    world.person("ada@example.com").await;
    let app = world.client(true).await;
    let code = Browser::default().signs_in(&world, &app.asks(&[]), "ada@example.com", PASSWORD).await.code();
    let first = json(app.redeems(&world, &code, &[]), StatusCode::OK).await;
    let token = |tokens: &serde_json::Value| tokens["refresh_token"].as_str().unwrap().to_owned();
    let second = json(app.refreshes(&world, &token(&first)), StatusCode::OK).await;
    assert_ne!(token(&first), token(&second));
    let access = second["access_token"].as_str().unwrap();
    assert!(world.provider.trust.check(access).await.is_ok());

    let before = world.head().await;
    let reused = json(app.refreshes(&world, &token(&first)), StatusCode::BAD_REQUEST).await;
    assert_eq!(reused["error"], "invalid_grant");
    let (event, payload) = world.last_event().await;
    assert_eq!((event.as_str(), &payload["reason"]), ("auth.grant.revoked", &json!("refresh_reused")));
    assert_eq!(world.head().await, before + 1, "one record");
    let dead = json(app.refreshes(&world, &token(&second)), StatusCode::BAD_REQUEST).await;
    assert_eq!(dead["error"], "invalid_grant");
    assert_eq!(world.provider.trust.check(access).await.unwrap_err().code(), "token_revoked");
    assert_eq!(world.head().await, before + 1, "what is dead already is not recorded again");
}

#[tokio::test]
async fn who_may_not_sign_in_any_more_gets_no_tokens_any_more() {
    let world = World::start().await;
    let (ada, app) = (world.person("ada@example.com").await, world.client(true).await);
    let mut browser = Browser::default();
    let tokens = app.tokens(&world, &mut browser).await;
    let (access, refresh) = (tokens["access_token"].as_str().unwrap(), tokens["refresh_token"].as_str().unwrap());
    world.run_as_admin(&EndSessions { user: ada, reason: "locked".to_owned(), reach: Reach::Everything }).await;
    assert_eq!(world.provider.trust.check(access).await.unwrap_err().code(), "token_revoked");
    assert_eq!(json(app.refreshes(&world, refresh), StatusCode::BAD_REQUEST).await["error"], "invalid_grant");
    let page = browser.visit(&world, &app.asks(&[])).await;
    assert!(page.body.contains("Password"), "the browser is signed in still: {}", page.body);
}

#[tokio::test]
async fn a_session_that_ends_takes_with_it_what_does_not_go_on_without_it() {
    let world = World::start().await;
    world.person("ada@example.com").await;
    let app = world.client(true).await;
    let mut browser = Browser::default();
    let code =
        browser.signs_in(&world, &app.asks(&[("scope", "openid api")]), "ada@example.com", PASSWORD).await.code();
    let bound = json(app.redeems(&world, &code, &[]), StatusCode::OK).await;
    assert!(bound["refresh_token"].is_null(), "nobody asked for offline_access");
    let code = browser.visit(&world, &app.asks(&[])).await.code();
    let offline = json(app.redeems(&world, &code, &[]), StatusCode::OK).await;
    let access = |tokens: &serde_json::Value| tokens["access_token"].as_str().unwrap().to_owned();
    let session = claims(&access(&bound))["sid"].as_str().unwrap().parse().unwrap();
    world.run_as_admin(&RevokeSession { session, reach: Reach::Everything }).await;
    assert_eq!(world.provider.trust.check(&access(&bound)).await.unwrap_err().code(), "token_revoked");
    assert!(world.provider.trust.check(&access(&offline)).await.is_ok());
    world.run_as_admin(&DeactivateClient { client: app.id, reach: Reach::Everything }).await;
    assert_eq!(world.provider.trust.check(&access(&offline)).await.unwrap_err().code(), "token_revoked");
}

#[tokio::test]
async fn somebody_signs_out_everywhere_at_one_browser() {
    let world = World::start().await;
    world.person("ada@example.com").await;
    let mut browsers = [Browser::default(), Browser::default()];
    for browser in &mut browsers {
        browser.signs_in(&world, "login", "ada@example.com", PASSWORD).await;
        assert_eq!(browser.visit(&world, "account").await.status, StatusCode::OK);
    }
    world.clock.advance(TimeDelta::seconds(1));
    let out = browsers[0].fill_in(&world, "account/sessions", &[]).await;
    assert_eq!(out.leads_to().0, "/t/acme/account", "{out:?}");
    for browser in &mut browsers {
        assert_eq!(browser.visit(&world, "account").await.leads_to().0, "/t/acme/login");
    }
}

#[tokio::test]
async fn a_client_that_knows_the_session_signs_out_of_it_and_a_strangers_link_asks() {
    let world = World::start().await;
    world.person("ada@example.com").await;
    let app = world.client(true).await;
    let mut browser = Browser::default();
    let tokens = app.tokens(&world, &mut browser).await;
    let asked = browser.visit(&world, "logout").await;
    assert!(asked.status == StatusCode::OK && asked.body.contains("Sign out?"), "{asked:?}");
    assert!(browser.visit(&world, &app.asks(&[("prompt", "none")])).await.leads_to().1.contains_key("code"));

    let hint = tokens["id_token"].as_str().unwrap();
    let leaves = query("logout", &[("id_token_hint", hint), ("post_logout_redirect_uri", OUT), ("state", "bye")]);
    let out = browser.visit(&world, &leaves).await;
    assert_eq!(out.leads_to().0, format!("{OUT}?state=bye"));
    assert!(!browser.cookies.contains_key("inopsio-acme"), "the cookie is still there");
    assert_eq!(browser.visit(&world, &app.asks(&[("prompt", "none")])).await.leads_to().1["error"], "login_required");
    let elsewhere = leaves.replace("app.example.com", "evil.example.com");
    assert_eq!(browser.visit(&world, &elsewhere).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn who_signed_in_too_long_ago_signs_in_anew() {
    let world = World::start().await;
    world.person("ada@example.com").await;
    let app = world.client(true).await;
    let mut browser = Browser::default();
    let code = browser.signs_in(&world, &app.asks(&[]), "ada@example.com", PASSWORD).await;
    assert_eq!(code.status, StatusCode::SEE_OTHER);
    world.clock.advance(TimeDelta::minutes(10));
    let young_enough = browser.visit(&world, &app.asks(&[("max_age", "601")])).await;
    assert!(young_enough.leads_to().1.contains_key("code"));
    for asked in [[("max_age", "599")], [("prompt", "login")]] {
        let page = browser.visit(&world, &app.asks(&asked)).await;
        assert!(page.status == StatusCode::OK && page.body.contains("Password"), "{asked:?}: {page:?}");
    }
    let silently = browser.visit(&world, &app.asks(&[("max_age", "599"), ("prompt", "none")])).await;
    assert_eq!(silently.leads_to().1["error"], "login_required");
    let anew = browser.signs_in(&world, &app.asks(&[("prompt", "login")]), "ada@example.com", PASSWORD).await;
    let id = json(app.redeems(&world, &anew.code(), &[]), StatusCode::OK).await;
    assert_eq!(claims(id["id_token"].as_str().unwrap())["auth_time"], world.now().timestamp());
}

#[tokio::test]
async fn who_does_not_consent_is_sent_back_and_nothing_is_granted() {
    let world = World::start().await;
    world.person("ada@example.com").await;
    let app = world.client(false).await;
    let mut browser = Browser::default();
    let consent = browser.signs_in(&world, &app.asks(&[]), "ada@example.com", PASSWORD).await;
    let before = world.head().await;
    let form = [("pending", consent.hidden("pending")), ("decision", "deny".to_owned())];
    let form: Vec<_> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let back = browser.fill_in(&world, "consent", &form).await;
    assert_eq!(back.leads_to().1["error"], "access_denied");
    assert_eq!(world.head().await, before, "something was written");
}

#[tokio::test]
async fn what_somebody_let_an_application_do_ends_when_they_withdraw_it() {
    let world = World::start().await;
    world.person("ada@example.com").await;
    let app = world.client(false).await;
    let mut browser = Browser::default();
    let consent = browser.signs_in(&world, &app.asks(&[]), "ada@example.com", PASSWORD).await;
    let pending = consent.hidden("pending");
    let code = browser.fill_in(&world, "consent", &[("pending", &pending), ("decision", "allow")]).await.code();
    let tokens = json(app.redeems(&world, &code, &[]), StatusCode::OK).await;
    let (access, refresh) = (tokens["access_token"].as_str().unwrap(), tokens["refresh_token"].as_str().unwrap());
    assert!(world.provider.trust.check(access).await.is_ok());
    let account = browser.visit(&world, "account").await;
    assert!(account.body.contains("The App"), "{account:?}");
    let client = account.hidden("client");
    let before = world.head().await;
    let other = browser.fill_in(&world, "account/applications", &[("client", &world.tenant.id.to_string())]).await;
    assert_eq!(other.status, StatusCode::NOT_FOUND, "{other:?}");
    assert_eq!(world.head().await, before, "something was written");
    browser.fill_in(&world, "account/applications", &[("client", &client)]).await;
    assert_eq!(world.provider.trust.check(access).await.unwrap_err().code(), "token_revoked");
    assert_eq!(json(app.refreshes(&world, refresh), StatusCode::BAD_REQUEST).await["error"], "invalid_grant");
    let asked = browser.visit(&world, &app.asks(&[])).await;
    assert!(asked.body.contains("name=\"decision\""), "nobody is asked again: {asked:?}");
}

#[tokio::test]
async fn a_client_says_beforehand_what_it_asks_for_and_nobody_changes_it_on_the_way() {
    let world = World::start().await;
    world.person("ada@example.com").await;
    let (app, other) = (world.client(true).await, world.client(true).await);
    let asks = app.asks(&[]);
    let parameters: Vec<(String, String)> =
        url::form_urlencoded::parse(asks.split_once('?').unwrap().1.as_bytes()).into_owned().collect();
    let fields: Vec<_> = parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let before = world.head().await;
    let push = |fields: &[(&str, &str)]| world.post("par", fields).basic_auth(app.id, Some(&app.secret));
    let pushed = json(push(&fields), StatusCode::CREATED).await;
    assert_eq!(world.head().await, before, "something was stored");
    let refer = |client: &str| {
        let uri = pushed["request_uri"].as_str().unwrap();
        let named = [("client_id", client), ("request_uri", uri), ("scope", "api"), ("redirect_uri", "https://evil")];
        query("authorize", &named)
    };
    let mut browser = Browser::default();
    let code = browser.signs_in(&world, &refer(&app.id.to_string()), "ada@example.com", PASSWORD).await.code();
    let tokens = json(app.redeems(&world, &code, &[]), StatusCode::OK).await;
    assert!(tokens["scope"].as_str().unwrap().contains("openid"), "{tokens}");
    let stolen = browser.visit(&world, &refer(&other.id.to_string())).await;
    assert_eq!(stolen.status, StatusCode::BAD_REQUEST, "{stolen:?}");
    world.clock.advance(TimeDelta::seconds(91));
    let late = browser.visit(&world, &refer(&app.id.to_string())).await;
    assert_eq!(late.status, StatusCode::BAD_REQUEST, "{late:?}");
    for (name, value, error) in [
        ("redirect_uri", "https://evil.example.com/", "invalid_request"),
        ("response_type", "token", "unsupported_response_type"),
        ("code_challenge_method", "plain", "invalid_request"),
        ("request_uri", "urn:ietf:params:oauth:request_uri:x", "invalid_request"),
    ] {
        let mut fields: Vec<_> = fields.iter().copied().filter(|(known, _)| *known != name).collect();
        fields.push((name, value));
        assert_eq!(json(push(&fields), StatusCode::BAD_REQUEST).await["error"], error, "{name}: {value}");
    }
    json(world.post("par", &fields), StatusCode::UNAUTHORIZED).await;
}
