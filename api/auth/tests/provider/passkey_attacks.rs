//! Attacks on passkeys. The numbers are those of docs/src/threat-model.md.

use chrono::TimeDelta;
use futures::future::join_all;
use reqwest::StatusCode;
use serde_json::json;
use testbed::{Browser, Shown};

use crate::passkeys::{PasskeyUser, makes, shows};
use crate::soft_key::{Asks, SoftKey};
use crate::world::{PASSWORD, Visits, World};

/// Uses a passkey on a page. It has to be refused, with one record of the reason and no other event.
async fn refused(world: &World, browser: &mut Browser, page: &Shown, key: &mut SoftKey, reason: &str) {
    let asks = Asks::on(page);
    let answer = key.shown(&asks.options);
    refused_answer(world, browser, &asks.pending, &answer, reason).await;
}

async fn refused_answer(world: &World, browser: &mut Browser, pending: &str, answer: &str, reason: &str) {
    let before = world.head().await;
    let shown = browser.fill_in(world, "passkey", &[("pending", pending), ("answer", answer)]).await;
    assert_eq!(shown.status, StatusCode::UNAUTHORIZED, "{reason}: {shown:?}");
    assert!(shown.alert().contains("not accepted"), "the page tells more than it should: {}", shown.alert());
    assert!(!browser.cookies.contains_key("inopsio-acme"), "{reason}: signed in");
    assert_eq!(world.head().await, before + 1, "{reason}: one record");
    let (event, payload) = world.last_event().await;
    assert_eq!((event.as_str(), &payload["reason"]), ("auth.sign_in.refused", &json!(reason)));
}

#[tokio::test]
async fn attack_61_a_passkey_that_was_shown_to_another_sites_page() {
    let world = World::named().await;
    let mut ada = PasskeyUser::person(&world, "ada@example.com", 1).await;
    let port = world.url.rsplit_once(':').unwrap().1;
    for origin in [
        "https://evil.example.com".to_owned(),
        format!("http://evil.localhost:{port}"),
        format!("http://localhost.evil.example.com:{port}"),
        format!("https://localhost:{port}"),
        "http://localhost:1".to_owned(),
    ] {
        let mut browser = Browser::default();
        let mut key = SoftKey { origin: origin.clone(), ..ada.key.clone() };
        let page = browser.visit(&world, "login").await;
        refused(&world, &mut browser, &page, &mut key, "passkey_origin").await;
        // Nor is a new passkey accepted that was made there.
        let mut made = SoftKey { origin, ..SoftKey::new(&world, 2) };
        let before = world.head().await;
        let shown = makes(&world, &mut ada.browser, &mut made, "theirs").await;
        assert_eq!(shown.status, StatusCode::BAD_REQUEST, "{shown:?}");
        assert_eq!(world.head().await, before, "something was written");
    }
    // For another relying party id: the browser's hash of it does not match.
    let mut browser = Browser::default();
    let page = browser.visit(&world, "login").await;
    let Asks { pending, mut options } = Asks::on(&page);
    options["rpId"] = json!("evil.example.com");
    let answer = ada.key.shown(&options);
    refused_answer(&world, &mut browser, &pending, &answer, "passkey_origin").await;
    // The `Host` header of a request does not change our origin.
    let elsewhere = world.get("login").header("host", "evil.example.com");
    let page = browser.send(elsewhere).await;
    assert_eq!(Asks::on(&page).options["rpId"], "localhost");
}

#[tokio::test]
async fn attack_62_an_answer_to_an_old_challenge_or_to_another_one() {
    let world = World::named().await;
    let mut ada = PasskeyUser::person(&world, "ada@example.com", 1).await;
    let mut browser = Browser::default();
    let old = browser.visit(&world, "login").await;
    let other = Asks::on(&browser.visit(&world, "login").await);
    // The challenge of one page, answered on another.
    let answer = ada.key.shown(&Asks::on(&old).options);
    refused_answer(&world, &mut browser, &other.pending, &answer, "passkey_challenge").await;
    world.clock.advance(TimeDelta::minutes(10));
    refused(&world, &mut browser, &old, &mut ada.key, "passkey_late").await;
    // Later, the sealed state is not even opened; nor is a made-up one.
    world.clock.advance(TimeDelta::minutes(20));
    let before = world.head().await;
    let asks = Asks::on(&old);
    let answer = ada.key.shown(&asks.options);
    for pending in [asks.pending.as_str(), "v1.AAAA", &asks.pending[1..]] {
        let shown = browser.fill_in(&world, "passkey", &[("pending", pending), ("answer", &answer)]).await;
        assert_eq!(shown.status, StatusCode::BAD_REQUEST, "{shown:?}");
    }
    assert_eq!(world.head().await, before, "something was written");
}

#[tokio::test]
async fn attack_63_an_answer_a_second_time_or_many_at_once() {
    let world = World::named().await;
    let mut ada = PasskeyUser::person(&world, "ada@example.com", 1).await;
    // Without a counter, only the challenge reveals a replay.
    let mut key = SoftKey { counter: None, ..SoftKey::new(&world, 2) };
    makes(&world, &mut ada.browser, &mut key, "a synced one").await.leads_to();
    let page = Browser::default().visit(&world, "login").await;
    let asks = Asks::on(&page);
    let answer = key.shown(&asks.options);
    let sent = (0..5).map(|_| async {
        let fields = [("pending", asks.pending.as_str()), ("answer", answer.as_str())];
        Browser::default().fill_in(&world, "passkey", &fields).await
    });
    let won = join_all(sent).await.into_iter().filter(|shown| shown.status == StatusCode::SEE_OTHER).count();
    assert_eq!(won, 1, "one answer let {won} in");
    refused_answer(&world, &mut Browser::default(), &asks.pending, &answer, "passkey_replayed").await;
    // The answer that created a passkey creates no second one.
    let making = Asks::on(&ada.browser.visit(&world, "account/passkeys").await);
    let mut third = SoftKey::new(&world, 3);
    let answer = third.made(&making.options);
    let fields = [("pending", making.pending.as_str()), ("name", "third"), ("answer", answer.as_str())];
    ada.browser.fill_in(&world, "account/passkeys", &fields).await.leads_to();
    let id = third.name();
    ada.browser.fill_in(&world, "account/passkeys/remove", &[("passkey", &id)]).await.leads_to();
    let before = world.head().await;
    let again = ada.browser.fill_in(&world, "account/passkeys", &fields).await;
    assert_eq!(again.status, StatusCode::BAD_REQUEST, "a removed passkey came back: {again:?}");
    assert_eq!(world.head().await, before, "something was written");
}

#[tokio::test]
async fn attack_64_a_copy_of_a_passkey_whose_counter_goes_back() {
    let world = World::named().await;
    let mut ada = PasskeyUser::person(&world, "ada@example.com", 1).await;
    let mut copy = ada.key.clone();
    for _ in 0..2 {
        let mut browser = Browser::default();
        let page = browser.visit(&world, "login").await;
        shows(&world, &mut browser, &page, &mut ada.key).await.leads_to();
    }
    for _ in 0..2 {
        let mut browser = Browser::default();
        let page = browser.visit(&world, "login").await;
        refused(&world, &mut browser, &page, &mut copy, "passkey_cloned").await;
    }
    // A copy that stops counting is detected as well.
    let mut silent = SoftKey { counter: None, ..copy };
    let page = Browser::default().visit(&world, "login").await;
    refused(&world, &mut Browser::default(), &page, &mut silent, "passkey_cloned").await;
}

#[tokio::test]
async fn attack_65_another_tenants_passkey_or_another_persons() {
    let world = World::named().await;
    let mut ada = PasskeyUser::person(&world, "ada@example.com", 1).await;
    let mut eve = PasskeyUser::person(&world, "eve@example.com", 2).await;
    // At the other tenant, under the same host: the same response as for an unknown passkey.
    let other = |path: &str| format!("{}/t/other/{path}", world.url);
    let mut browser = Browser::default();
    let page = browser.open(&other("login")).await;
    let asks = Asks::on(&page);
    let before = world.head().await;
    let mut told = Vec::new();
    for key in [&mut ada.key, &mut SoftKey::new(&world, 9)] {
        let answer = key.shown(&asks.options);
        let fields = [("pending", asks.pending.as_str()), ("answer", answer.as_str())];
        let shown = browser.submit(&other("passkey"), &fields).await;
        assert_eq!(shown.status, StatusCode::UNAUTHORIZED, "{shown:?}");
        told.push(shown.alert().to_owned());
        let (event, payload) = world.last_event().await;
        assert_eq!((event.as_str(), &payload["reason"]), ("auth.sign_in.refused", &json!("passkey_unknown")));
        assert_eq!(payload["user"], json!(null), "another tenant's log names somebody of ours");
    }
    assert_eq!(told[0], told[1]);
    assert_eq!(world.head().await, before + 2, "one record each");
    // The sealed state of one tenant's page is invalid at another tenant.
    let fields = [("pending", asks.pending.as_str()), ("answer", "{}")];
    assert_eq!(browser.fill_in(&world, "passkey", &fields).await.status, StatusCode::BAD_REQUEST);

    // Eve knows Ada's password and uses her own passkey.
    let page = browser.signs_in(&world, "login", "ada@example.com", PASSWORD).await;
    refused(&world, &mut browser, &page, &mut eve.key, "passkey_unknown").await;
    let mut nameless = SoftKey { user: None, ..eve.key.clone() };
    refused(&world, &mut browser, &page, &mut nameless, "passkey_unknown").await;
    // Or her passkey claims Ada's user handle.
    let mut posing = SoftKey { user: ada.key.user.clone(), ..eve.key.clone() };
    let page = browser.visit(&world, "login").await;
    refused(&world, &mut browser, &page, &mut posing, "passkey_unknown").await;
    let mut forged = SoftKey { id: ada.key.id.clone(), ..posing };
    refused(&world, &mut browser, &page, &mut forged, "passkey_wrong").await;
    // Nor can she enrol Ada's credential id as her own.
    let mut stolen = SoftKey { id: ada.key.id.clone(), ..SoftKey::new(&world, 4) };
    let before = world.head().await;
    let made = makes(&world, &mut eve.browser, &mut stolen, "mine now").await;
    assert_eq!(made.status, StatusCode::BAD_REQUEST, "{made:?}");
    assert_eq!(world.head().await, before, "something was written");
}

#[tokio::test]
async fn attack_66_a_passkey_that_asked_for_no_finger_face_or_pin() {
    let world = World::named().await;
    let mut ada = PasskeyUser::person(&world, "ada@example.com", 1).await;
    let mut silent = SoftKey { verifies: false, ..ada.key.clone() };
    let mut browser = Browser::default();
    let page = browser.visit(&world, "login").await;
    refused(&world, &mut browser, &page, &mut silent, "passkey_unverified").await;
    let page = browser.signs_in(&world, "login", "ada@example.com", PASSWORD).await;
    refused(&world, &mut browser, &page, &mut silent, "passkey_unverified").await;
    let mut made = SoftKey { verifies: false, ..SoftKey::new(&world, 2) };
    let before = world.head().await;
    let shown = makes(&world, &mut ada.browser, &mut made, "silent").await;
    assert_eq!(shown.status, StatusCode::BAD_REQUEST, "{shown:?}");
    assert_eq!(world.head().await, before, "something was written");
}

#[tokio::test]
async fn what_is_no_answer_of_a_browser_is_refused_and_slowed_down() {
    let world = World::named().await;
    PasskeyUser::person(&world, "ada@example.com", 1).await;
    let mut browser = Browser::default();
    let page = browser.visit(&world, "login").await;
    let pending = Asks::on(&page).pending;
    for nonsense in ["{}", "[]", "null", "{\"id\":\"x\",\"rawId\":\"!\",\"type\":\"public-key\",\"response\":{}}"] {
        refused_answer(&world, &mut browser, &pending, nonsense, "passkey_malformed").await;
    }
    let before = world.head().await;
    // An answer with a NUL character is refused as a malformed request, without a record.
    let nul = browser.fill_in(&world, "passkey", &[("pending", &pending), ("answer", "\u{0}")]).await;
    assert_eq!((nul.status, world.head().await), (StatusCode::BAD_REQUEST, before), "{nul:?}");
    let mut slowed = 0;
    for _ in 0..15 {
        let shown = browser.fill_in(&world, "passkey", &[("pending", &pending), ("answer", "{}")]).await;
        slowed += usize::from(shown.status == StatusCode::TOO_MANY_REQUESTS);
    }
    assert!(slowed >= 5, "{slowed} of 15 were slowed down");
    assert!(world.head().await - before <= 10, "each of them was recorded");
}
