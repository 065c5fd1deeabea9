//! Applications on the user's own machine (RFC 8252).

use reqwest::StatusCode;
use testbed::Browser;

use crate::world::{PASSWORD, VERIFIER, Visits, World, json};

#[tokio::test]
async fn attack_213_a_public_client_has_any_port_on_the_users_own_machine_and_nothing_else_differs() {
    let world = World::start().await;
    world.person("ada@example.com").await;
    let app = world.native(&["http://127.0.0.1/back", "http://[::1]/back", "http://localhost:4000/back"]).await;
    let mut browser = Browser::default();
    let back = "http://127.0.0.1:61023/back";
    let asks = |uri: &str| app.asks(&[("redirect_uri", uri)]);
    let page = browser.visit(&world, &asks(back)).await;
    let policy = page.header("content-security-policy");
    assert!(policy.contains("form-action 'self' http://127.0.0.1:61023;"), "{policy}");
    let shown = browser.signs_in(&world, &asks(back), "ada@example.com", PASSWORD).await;
    assert!(shown.leads_to().0.starts_with(&format!("{back}?code=")), "{shown:?}");
    let id = app.id.to_string();
    let redeems = |code: &str, uri: &str| {
        let form = [("grant_type", "authorization_code"), ("code", code), ("redirect_uri", uri)];
        world.post("token", &[&form[..], &[("code_verifier", VERIFIER), ("client_id", id.as_str())]].concat())
    };
    json(redeems(&shown.code(), back), StatusCode::OK).await;
    // The code belongs to the port to which it was sent.
    let code = browser.visit(&world, &asks("http://[::1]:5000/back")).await.code();
    let refused = json(redeems(&code, "http://[::1]:5001/back"), StatusCode::BAD_REQUEST).await;
    assert_eq!(refused["error"], "invalid_grant");

    let before = world.head().await;
    for elsewhere in [
        "http://127.0.0.1:61023/other",
        "http://127.0.0.1:61023/back?x=1",
        "http://127.0.0.1:61023@evil.example.com/back",
        "http://127.0.0.1.evil.example.com:61023/back",
        "http://127.0.0.2:61023/back",
        "https://127.0.0.1:61023/back",
        "http://localhost:4001/back",
        "http://evil.example.com:61023/back",
    ] {
        let shown = browser.visit(&world, &asks(elsewhere)).await;
        assert!(
            shown.status == StatusCode::BAD_REQUEST && shown.header("location").is_empty(),
            "{elsewhere}: {shown:?}"
        );
    }
    assert_eq!(world.head().await, before, "something was granted");
}
