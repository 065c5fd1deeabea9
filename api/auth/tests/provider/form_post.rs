//! Responses that the browser posts to the client (OAuth 2.0 Form Post Response Mode).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::StatusCode;
use serde_json::json;
use sha2::{Digest, Sha256};
use testbed::{Browser, Shown};

use crate::world::{App, BACK, PASSWORD, Visits, World, json, query};

const ADA: &str = "ada@example.com";
const POSTED: (&str, &str) = ("response_mode", "form_post");

/// A field of the form that leads to the client.
fn field(shown: &Shown, name: &str) -> String {
    assert_eq!(shown.status, StatusCode::OK, "{shown:?}");
    assert!(shown.body.contains(&format!("<form method=\"post\" action=\"{BACK}\">")), "{shown:?}");
    shown.hidden(name)
}

/// What somebody answers on the consent page, and where that leads.
async fn decides(world: &World, browser: &mut Browser, consent: &Shown, decision: &str) -> Shown {
    browser.fill_in(world, "consent", &[("pending", &consent.hidden("pending")), ("decision", decision)]).await
}

#[tokio::test]
async fn a_client_may_have_its_code_posted_and_every_error() {
    let world = World::start().await;
    world.person(ADA).await;
    let app = world.client(false).await;
    let mut browser = Browser::default();
    let before = world.head().await;
    let silently = browser.visit(&world, &app.asks(&[POSTED, ("prompt", "none")])).await;
    assert_eq!(field(&silently, "error"), "login_required");
    let unchallenged = browser.visit(&world, &app.asks(&[POSTED, ("code_challenge", "short")])).await;
    assert_eq!(field(&unchallenged, "error"), "invalid_request");
    for shown in [&silently, &unchallenged] {
        assert_eq!((field(shown, "state"), field(shown, "iss")), ("s&amp;t=1".to_owned(), world.issuer()));
        assert!(!field(shown, "error_description").is_empty() && !shown.body.contains("name=\"code\""), "{shown:?}");
    }
    assert_eq!(world.head().await, before, "something was written");

    let asks = app.asks(&[POSTED]);
    let consent = browser.signs_in(&world, &asks, ADA, PASSWORD).await;
    let before = world.head().await;
    assert_eq!(field(&decides(&world, &mut browser, &consent, "deny").await, "error"), "access_denied");
    assert_eq!(world.head().await, before, "something was written");
    let allowed = decides(&world, &mut browser, &consent, "allow").await;
    assert_eq!((field(&allowed, "state"), field(&allowed, "iss")), ("s&amp;t=1".to_owned(), world.issuer()));
    assert!(allowed.header("location").is_empty() && !allowed.body.contains("name=\"error\""), "{allowed:?}");
    json(app.redeems(&world, &field(&allowed, "code"), &[]), StatusCode::OK).await;

    // Whoever is signed in is shown nothing else on the way.
    let again = browser.visit(&world, &asks).await;
    json(app.redeems(&world, &field(&again, "code"), &[]), StatusCode::OK).await;
    // A pushed request keeps its mode.
    let pushed = browser.visit(&world, &pushed(&world, &app, &asks).await).await;
    json(app.redeems(&world, &field(&pushed, "code"), &[]), StatusCode::OK).await;
    // Signing in sets the session's cookie with this page, too.
    let mut other = Browser::default();
    field(&other.signs_in(&world, &asks, ADA, PASSWORD).await, "code");
    assert!(other.cookies.contains_key("inopsio-acme"), "nobody is signed in");
}

/// The path of a request that the client sends beforehand.
async fn pushed(world: &World, app: &App, asks: &str) -> String {
    let form = asks.split_once('?').unwrap().1.to_owned();
    let push = world.http.post(format!("{}/par", world.issuer())).body(form);
    let push = push.header("content-type", "application/x-www-form-urlencoded");
    let uri = json(push.basic_auth(app.id, Some(&app.secret)), StatusCode::CREATED).await["request_uri"].clone();
    query("authorize", &[("client_id", &app.id.to_string()), ("request_uri", uri.as_str().unwrap())])
}

#[tokio::test]
async fn a_response_mode_that_can_not_be_used_is_refused_in_the_address() {
    let world = World::start().await;
    let app = world.client(true).await;
    let native = world.native(&["com.example.app:/back"]).await;
    let before = world.head().await;
    let mut browser = Browser::default();
    for mode in ["fragment", "form_post.jwt", "web_message", "Form_Post", "query form_post"] {
        let (location, said) = browser.visit(&world, &app.asks(&[("response_mode", mode)])).await.leads_to();
        assert!(location.starts_with(BACK) && said["error"] == "invalid_request", "{mode}: {location}");
    }
    // The browser would start this application with the address only.
    let asks = native.asks(&[("redirect_uri", "com.example.app:/back"), POSTED]);
    let (location, said) = browser.visit(&world, &asks).await.leads_to();
    assert!(location.starts_with("com.example.app:/back?") && said["error"] == "invalid_request", "{location}");
    assert_eq!(world.head().await, before, "something was written");
    let found = json(world.get(".well-known/openid-configuration"), StatusCode::OK).await;
    assert_eq!(found["response_modes_supported"], json!(["query", "form_post"]));
}

#[tokio::test]
async fn attack_211_what_is_posted_to_a_client_runs_nothing_and_goes_nowhere_else() {
    let world = World::start().await;
    world.person(ADA).await;
    let app = world.client(true).await;
    let evil = "\"><script>alert(1)</script><form action=\"https://evil.example.com/\">";
    let mut browser = Browser::default();
    let shown = browser.signs_in(&world, &app.asks(&[POSTED, ("state", evil)]), ADA, PASSWORD).await;
    assert!(!field(&shown, "code").is_empty() && shown.body.contains("&quot;&gt;&lt;script&gt;"), "{shown:?}");
    for part in ["<script", "<form"] {
        assert_eq!(shown.body.matches(part).count(), 1, "{part}: {shown:?}");
    }
    let script = shown.body.split_once("<script>").unwrap().1.split_once("</script>").unwrap().0;
    let runs = format!("script-src 'sha256-{}'; ", STANDARD.encode(Sha256::digest(script)));
    let policy = shown.header("content-security-policy");
    let leads = "form-action 'self' https://app.example.com; ";
    for part in ["default-src 'none'; ", runs.as_str(), leads, "frame-ancestors 'none'", "base-uri 'none'"] {
        assert!(policy.contains(part), "{part} is not in {policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    for (name, value) in [("cache-control", "no-store"), ("referrer-policy", "strict-origin"), ("location", "")] {
        assert_eq!(shown.header(name), value, "{name}");
    }
    let before = world.head().await;
    let marked = format!("{BACK}\"><script>alert(1)</script>");
    for uri in ["https://evil.example.com/back", "javascript:alert(1)", &marked] {
        let shown = browser.visit(&world, &app.asks(&[POSTED, ("redirect_uri", uri)])).await;
        assert_eq!(shown.status, StatusCode::BAD_REQUEST, "{uri}: {shown:?}");
        assert!(!shown.body.contains("<form") && !shown.body.contains("<script"), "{uri}: {shown:?}");
    }
    assert_eq!(world.head().await, before, "something was granted");
}
