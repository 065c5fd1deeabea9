//! A required second factor.

use std::collections::BTreeSet;

use auth_aggregates::RequiredOf::{self, Admins, Everyone, Off};
use auth_api::totp::Authenticator;
use auth_commands::{GRANTS, Reach, ResetSecondFactor, SetSignInPolicy};
use chrono::TimeDelta;
use face::People;
use kernel::Role;
use reqwest::StatusCode;
use serde_json::json;
use testbed::{Browser, Shown, base32};

use crate::passkeys::makes;
use crate::soft_key::{Asks, SoftKey};
use crate::world::{PASSWORD, Visits, World, claims, json};

/// A text on the page where it is enrolled.
const ASKED: &str = "asks you for more than a password";

async fn require(world: &World, of: RequiredOf) {
    let (second_factor, session_idle_minutes) = (Some(of), None);
    world.run_as_admin(&SetSignInPolicy { second_factor, session_idle_minutes, reach: Reach::Everything }).await;
}

/// The authenticator whose key a page shows.
fn offered(page: &Shown) -> Authenticator {
    let key = page.body.split_once("<span class=\"code\">").unwrap().1.split('<').next().unwrap().replace(' ', "");
    Authenticator::of(&base32(&key)).unwrap()
}

/// The sealed state of a page's last form, which is that for the authenticator.
fn pending(page: &Shown) -> String {
    page.body.rsplit_once("name=\"pending\" value=\"").unwrap().1.split_once('"').unwrap().0.to_owned()
}

/// The path to which the page of recovery codes leads.
fn onward(page: &Shown) -> String {
    let after = page.body.split_once("<a href=\"/t/acme/").unwrap_or_else(|| panic!("no link in {page:?}")).1;
    after.split_once('"').unwrap().0.replace("&amp;", "&")
}

/// Enrols the authenticator that a page offers.
async fn adds(world: &World, browser: &mut Browser, page: &Shown) -> (Authenticator, Shown) {
    let authenticator = offered(page);
    let code = authenticator.code(world.now()).unwrap();
    let shown = browser.fill_in(world, "required", &[("pending", &pending(page)), ("code", &code)]).await;
    (authenticator, shown)
}

#[tokio::test]
async fn who_must_have_a_second_factor_adds_an_authenticator_before_they_are_in() {
    let world = World::start().await;
    world.person("ada@example.com").await;
    let app = world.client(true).await;
    require(&world, Everyone).await;
    let mut browser = Browser::default();
    let before = world.head().await;
    let asks = app.asks(&[("prompt", "login")]);
    let page = browser.signs_in(&world, &asks, "ada@example.com", PASSWORD).await;
    assert!(page.status == StatusCode::OK && page.body.contains(ASKED), "{page:?}");
    let wrong = browser.fill_in(&world, "required", &[("pending", &pending(&page)), ("code", "000000")]).await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST, "{wrong:?}");
    assert_eq!(offered(&wrong).bytes(), offered(&page).bytes(), "another key, of which the device knows nothing");
    assert!(!browser.cookies.contains_key("inopsio-acme"), "signed in with the password alone");
    assert_eq!(world.head().await, before, "something was written");
    let (_, codes) = adds(&world, &mut browser, &page).await;
    assert!(codes.status == StatusCode::OK && codes.body.contains("Your recovery codes"), "{codes:?}");
    let code = browser.visit(&world, &onward(&codes)).await.code();
    let tokens = json(app.redeems(&world, &code, &[]), StatusCode::OK).await;
    let said = claims(tokens["id_token"].as_str().unwrap());
    assert_eq!((&said["acr"], &said["amr"]), (&json!("aal2"), &json!(["pwd", "otp"])), "{said}");
    // From now on it is asked for; the earlier page does not enrol a second one.
    let late = browser.fill_in(&world, "required", &[("pending", &pending(&page)), ("code", "000000")]).await;
    assert!(late.body.contains("one-time-code") && !late.body.contains(ASKED), "{late:?}");
    let asked = Browser::default().signs_in(&world, "login", "ada@example.com", PASSWORD).await;
    assert!(asked.body.contains("one-time-code") && !asked.body.contains(ASKED), "{asked:?}");
}

#[tokio::test]
async fn who_must_have_a_second_factor_adds_a_passkey_before_they_are_in() {
    let world = World::named().await;
    world.person("ada@example.com").await;
    require(&world, Everyone).await;
    let mut browser = Browser::default();
    let before = world.head().await;
    let page = browser.signs_in(&world, "login", "ada@example.com", PASSWORD).await;
    let (asks, mut key) = (Asks::on(&page), SoftKey::new(&world, 1));
    let mut silent = SoftKey { verifies: false, ..key.clone() };
    let (good, bad) = (key.made(&asks.options), silent.made(&asks.options));
    let send = |answer: &str| [asks.pending.clone(), answer.to_owned()];
    let form = send(&bad);
    let fields = [("pending", form[0].as_str()), ("name", "a phone"), ("answer", form[1].as_str())];
    let refused = browser.fill_in(&world, "required/passkey", &fields).await;
    assert!(refused.status == StatusCode::BAD_REQUEST && refused.body.contains(ASKED), "{refused:?}");
    assert_eq!(world.head().await, before, "something was written");
    let form = send(&good);
    let fields = [("pending", form[0].as_str()), ("name", "a phone"), ("answer", form[1].as_str())];
    let codes = browser.fill_in(&world, "required/passkey", &fields).await;
    assert_eq!(onward(&codes), "account");
    assert!(browser.visit(&world, "account/passkeys").await.body.contains("a phone"));
    // A passkey alone counts as two factors.
    let mut other = Browser::default();
    let page = other.visit(&world, "login").await;
    crate::passkeys::shows(&world, &mut other, &page, &mut key).await.leads_to();
    assert_eq!(other.visit(&world, "account").await.status, StatusCode::OK);
    // A passkey for another page's challenge is refused, and a pending sign-in is void after all sessions have ended.
    world.person("eve@example.com").await;
    let page = Browser::default().signs_in(&world, "login", "eve@example.com", PASSWORD).await;
    world.clock.advance(TimeDelta::seconds(1));
    let user = world.person_id("eve@example.com").await;
    world
        .run_as_admin(&auth_commands::EndSessions { user, reason: "locked".to_owned(), reach: Reach::Everything })
        .await;
    let (_, late) = adds(&world, &mut Browser::default(), &page).await;
    assert_eq!(late.status, StatusCode::BAD_REQUEST, "{late:?}");
}

#[tokio::test]
async fn who_adds_a_second_factor_on_the_way_has_signed_in_anew_and_is_not_asked_to_do_so_twice() {
    let world = World::start().await;
    world.person("ada@example.com").await;
    let app = world.client(true).await;
    require(&world, Everyone).await;
    let mut browser = Browser::default();
    let asks = app.asks(&[("max_age", "0"), ("prompt", "login"), ("login_hint", "eve@example.com")]);
    let page = browser.signs_in(&world, &asks, "ada@example.com", PASSWORD).await;
    let (_, codes) = adds(&world, &mut browser, &page).await;
    // The user reads their recovery codes for a while.
    world.clock.advance(TimeDelta::minutes(9));
    let on = onward(&codes);
    let code = browser.visit(&world, &on).await.code();
    json(app.redeems(&world, &code, &[]), StatusCode::OK).await;
    // The same link signs nobody in, neither in another browser nor later.
    let before = world.head().await;
    for browser in [&mut Browser::default(), &mut browser] {
        world.clock.advance(TimeDelta::minutes(1));
        let page = browser.visit(&world, &on).await;
        assert!(page.status == StatusCode::OK && page.body.contains("Password"), "{page:?}");
    }
    world.clock.advance(TimeDelta::minutes(20));
    let changed = on.replace("shown=", "shown=A");
    for old in [on.as_str(), changed.as_str()] {
        assert_eq!(browser.visit(&world, old).await.status, StatusCode::BAD_REQUEST, "{old}");
    }
    assert_eq!(world.head().await, before, "something was written");
}

#[tokio::test]
async fn those_whom_the_policy_does_not_mean_are_not_asked() {
    let world = World::start().await;
    world.person("ada@example.com").await;
    let eve = world.person("eve@example.com").await;
    let admin = world.people.by_id(world.tenant.id, eve).await.unwrap().unwrap();
    world.people.put(world.tenant.id, face::Person { roles: vec!["admin".to_owned()], ..admin });
    require(&world, Admins).await;
    let member = Browser::default().signs_in(&world, "login", "ada@example.com", PASSWORD).await;
    assert_eq!(member.leads_to().0, "/t/acme/account");
    let admin = Browser::default().signs_in(&world, "login", "eve@example.com", PASSWORD).await;
    assert!(admin.body.contains(ASKED), "{admin:?}");
    require(&world, Off).await;
    let admin = Browser::default().signs_in(&world, "login", "eve@example.com", PASSWORD).await;
    assert_eq!(admin.leads_to().0, "/t/acme/account");
}

#[tokio::test]
async fn attack_174_whoever_may_do_all_that_administrators_may_needs_a_second_factor_like_them() {
    let world = World::start().await;
    let eve = world.person("eve@example.com").await;
    let person = world.people.by_id(world.tenant.id, eve).await.unwrap().unwrap();
    let roles = ["lead", "helper"].map(str::to_owned).to_vec();
    world.people.put(world.tenant.id, face::Person { roles, ..person });
    require(&world, Admins).await;
    // All but one.
    let mut all: BTreeSet<_> = Role::Admin.permissions(GRANTS).collect();
    let last = all.pop_last().unwrap();
    world.people.defined.lock().unwrap().insert("lead".to_owned(), all);
    let mut browser = Browser::default();
    let in_by_password = browser.signs_in(&world, "login", "eve@example.com", PASSWORD).await;
    assert_eq!(in_by_password.leads_to().0, "/t/acme/account");
    assert_eq!(browser.visit(&world, "account").await.status, StatusCode::OK);
    // The missing one, by another role: no role has them all.
    world.people.defined.lock().unwrap().insert("helper".to_owned(), BTreeSet::from([last]));
    let before = world.head().await;
    assert_eq!(browser.visit(&world, "account").await.leads_to().0, "/t/acme/login", "a session of before");
    let asked = Browser::default().signs_in(&world, "login", "eve@example.com", PASSWORD).await;
    assert!(asked.body.contains(ASKED), "{asked:?}");
    assert_eq!(world.head().await, before, "something was written");
}

#[tokio::test]
async fn a_policy_holds_at_once_for_sessions_codes_refresh_tokens_and_devices() {
    let world = World::start().await;
    world.person("ada@example.com").await;
    let app = world.client(false).await;
    let mut browser = Browser::default();
    let consent = browser.signs_in(&world, &app.asks(&[]), "ada@example.com", PASSWORD).await.hidden("pending");
    let allow = [("pending", consent.as_str()), ("decision", "allow")];
    let code = browser.fill_in(&world, "consent", &allow).await.code();
    let tokens = json(app.redeems(&world, &code, &[]), StatusCode::OK).await;
    let refresh = tokens["refresh_token"].as_str().unwrap();
    let code = browser.visit(&world, &app.asks(&[])).await.code();
    // A device, allowed by a user of whom no second factor was required.
    let asked = world.post("device_authorization", &[("scope", "openid")]).basic_auth(app.id, Some(&app.secret));
    let asked = json(asked, StatusCode::OK).await;
    let link = format!("device?user_code={}", asked["user_code"].as_str().unwrap());
    let question = browser.visit(&world, &link).await.hidden("pending");
    browser.fill_in(&world, "device", &[("pending", &question), ("decision", "allow")]).await;

    require(&world, Everyone).await;
    let before = world.head().await;
    let introspected = world.post("introspect", &[("token", refresh)]).basic_auth(app.id, Some(&app.secret));
    assert_eq!(json(introspected, StatusCode::OK).await, json!({ "active": false }));
    assert_eq!(json(app.refreshes(&world, refresh), StatusCode::BAD_REQUEST).await["error"], "invalid_grant");
    assert_eq!(browser.visit(&world, "account").await.leads_to().0, "/t/acme/login");
    assert_eq!(browser.visit(&world, &app.asks(&[("prompt", "none")])).await.leads_to().1["error"], "login_required");
    let late = browser.fill_in(&world, "consent", &allow).await;
    assert_eq!(late.status, StatusCode::BAD_REQUEST, "a consent of before: {late:?}");
    let late = browser.fill_in(&world, "device", &[("pending", &question), ("decision", "allow")]).await;
    assert_eq!(late.status, StatusCode::BAD_REQUEST, "{late:?}");
    assert!(browser.visit(&world, &link).await.body.contains("Password"), "a device is let in by who shows more");
    assert!(browser.visit(&world, "logout").await.body.contains("Sign out?"), "who wants to leave is let go");
    assert_eq!(world.head().await, before, "something was written");
    let redeemed = json(app.redeems(&world, &code, &[]), StatusCode::BAD_REQUEST).await;
    assert_eq!(redeemed["error"], "invalid_grant", "a code of before");
    world.clock.advance(TimeDelta::seconds(5));
    let fields = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
        ("device_code", asked["device_code"].as_str().unwrap()),
    ];
    let polled = world.post("token", &fields).basic_auth(app.id, Some(&app.secret));
    assert_eq!(json(polled, StatusCode::BAD_REQUEST).await["error"], "invalid_grant", "a device of before");

    // After a sign-in with a second factor, everything works again.
    let page = browser.signs_in(&world, &app.asks(&[]), "ada@example.com", PASSWORD).await;
    let (authenticator, codes) = adds(&world, &mut browser, &page).await;
    let code = browser.visit(&world, &onward(&codes)).await.code();
    let tokens = json(app.redeems(&world, &code, &[]), StatusCode::OK).await;
    json(app.refreshes(&world, tokens["refresh_token"].as_str().unwrap()), StatusCode::OK).await;
    // The earlier refresh token was not consumed: it works again when no second factor is required any more.
    require(&world, Off).await;
    json(app.refreshes(&world, refresh), StatusCode::OK).await;

    // A user who must have a second factor can't remove the last one, and one who lost it enrols another.
    require(&world, Everyone).await;
    world.clock.advance(TimeDelta::seconds(30));
    let code = authenticator.code(world.now()).unwrap();
    let before = world.head().await;
    let removed = browser.fill_in(&world, "account/authenticator/remove", &[("code", &code)]).await;
    assert!(removed.alert().contains("Add another one"), "{removed:?}");
    assert_eq!(world.head().await, before, "something was written");
    let user = world.person_id("ada@example.com").await;
    world.run_as_admin(&ResetSecondFactor { user, reach: Reach::Everything }).await;
    let page = Browser::default().signs_in(&world, "login", "ada@example.com", PASSWORD).await;
    assert!(page.body.contains(ASKED), "{page:?}");
}

#[tokio::test]
async fn the_last_passkey_stays_as_long_as_a_second_factor_is_required() {
    let world = World::named().await;
    world.person("ada@example.com").await;
    let mut browser = Browser::default();
    browser.signs_in(&world, "login", "ada@example.com", PASSWORD).await;
    let (mut first, mut second) = (SoftKey::new(&world, 1), SoftKey::new(&world, 2));
    makes(&world, &mut browser, &mut first, "a phone").await;
    makes(&world, &mut browser, &mut second, "a key").await;
    require(&world, Everyone).await;
    let (first, second) = (first.name(), second.name());
    browser.fill_in(&world, "account/passkeys/remove", &[("passkey", &first)]).await.leads_to();
    let before = world.head().await;
    let last = browser.fill_in(&world, "account/passkeys/remove", &[("passkey", &second)]).await;
    assert!(last.alert().contains("Add another one"), "{last:?}");
    assert_eq!(world.head().await, before, "something was written");
}
