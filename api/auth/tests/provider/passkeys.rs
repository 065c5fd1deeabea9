//! Passkeys: enrolled, renamed, used instead of the password and after it, and lost.

use auth_api::totp::Authenticator;
use auth_commands::{CloseAccount, Reach, ResetSecondFactor};
use chrono::TimeDelta;
use reqwest::StatusCode;
use serde_json::json;
use testbed::{Browser, Shown};

use crate::soft_key::{Asks, SoftKey};
use crate::world::{PASSWORD, Visits, World, claims, json};

const PAGE: &str = "account/passkeys";

/// A user with a passkey and recovery codes.
pub struct PasskeyUser {
    pub browser: Browser,
    pub key: SoftKey,
    pub recovery: Vec<String>,
}

impl PasskeyUser {
    pub async fn person(world: &World, login: &str, number: u8) -> Self {
        world.person(login).await;
        let mut browser = Browser::default();
        browser.signs_in(world, "login", login, PASSWORD).await;
        let mut key = SoftKey::new(world, number);
        let made = makes(world, &mut browser, &mut key, "a phone").await;
        assert_eq!(made.status, StatusCode::OK, "{made:?}");
        let codes = made.body.split("<span class=\"code\">").skip(1);
        let recovery: Vec<_> = codes.map(|code| code.split('<').next().unwrap().to_owned()).collect();
        assert_eq!(recovery.len(), 10, "{made:?}");
        Self { browser, key, recovery }
    }
}

/// A signed-in user enrols a passkey.
pub async fn makes(world: &World, browser: &mut Browser, key: &mut SoftKey, name: &str) -> Shown {
    let page = browser.visit(world, PAGE).await;
    let asks = Asks::on(&page);
    let answer = key.made(&asks.options);
    browser.fill_in(world, PAGE, &[("pending", &asks.pending), ("name", name), ("answer", &answer)]).await
}

/// Uses a passkey on a page that asks for one.
pub async fn shows(world: &World, browser: &mut Browser, page: &Shown, key: &mut SoftKey) -> Shown {
    let asks = Asks::on(page);
    let answer = key.shown(&asks.options);
    browser.fill_in(world, "passkey", &[("pending", &asks.pending), ("answer", &answer)]).await
}

#[tokio::test]
async fn who_has_a_passkey_shows_it_after_the_password_and_clients_are_told() {
    let world = World::named().await;
    let mut ada = PasskeyUser::person(&world, "ada@example.com", 1).await;
    let app = world.client(true).await;
    let mut browser = Browser::default();
    let before = world.head().await;
    let page = browser.signs_in(&world, &app.asks(&[]), "ada@example.com", PASSWORD).await;
    assert!(page.status == StatusCode::OK && page.body.contains("Use a passkey"), "{page:?}");
    assert!(!browser.cookies.contains_key("inopsio-acme"), "signed in with the password alone");
    assert_eq!(world.head().await, before, "a password alone is no session");
    assert_eq!(Asks::on(&page).options["allowCredentials"][0]["id"], ada.key.name());
    let code = shows(&world, &mut browser, &page, &mut ada.key).await.code();
    let tokens = json(app.redeems(&world, &code, &[]), StatusCode::OK).await;
    for token in ["id_token", "access_token"] {
        let said = claims(tokens[token].as_str().unwrap());
        assert_eq!((&said["acr"], &said["amr"]), (&json!("aal2"), &json!(["pwd", "hwk"])), "{token}: {said}");
    }
}

#[tokio::test]
async fn who_has_a_passkey_signs_in_with_it_alone_and_is_as_sure_as_with_two_factors() {
    let world = World::named().await;
    let mut ada = PasskeyUser::person(&world, "ada@example.com", 1).await;
    let app = world.client(true).await;
    let mut browser = Browser::default();
    let page = browser.visit(&world, &app.asks(&[("acr_values", "aal2")])).await;
    let asks = Asks::on(&page);
    assert_eq!(asks.options["allowCredentials"], json!([]), "who asks learns who has passkeys");
    let code = shows(&world, &mut browser, &page, &mut ada.key).await.code();
    let tokens = json(app.redeems(&world, &code, &[]), StatusCode::OK).await;
    let said = claims(tokens["id_token"].as_str().unwrap());
    assert_eq!((&said["acr"], &said["amr"]), (&json!("aal2"), &json!(["hwk"])), "{said}");
    assert_eq!(said["sub"], json!(world.person_id("ada@example.com").await));
    let page = ada.browser.visit(&world, PAGE).await;
    assert!(page.body.contains("last used"), "{page:?}");
}

#[tokio::test]
async fn a_client_that_wants_to_be_surer_gets_a_passkey_in_the_same_session() {
    let world = World::named().await;
    world.person("ada@example.com").await;
    let app = world.client(true).await;
    // A session from before the passkey was enrolled, in another browser.
    let mut old = Browser::default();
    old.signs_in(&world, "login", "ada@example.com", PASSWORD).await;
    let session = old.cookies["inopsio-acme"].clone();
    let (mut here, mut key) = (Browser::default(), SoftKey::new(&world, 1));
    here.signs_in(&world, "login", "ada@example.com", PASSWORD).await;
    makes(&world, &mut here, &mut key, "a phone").await;
    let surer = app.asks(&[("acr_values", "aal2"), ("prompt", "none")]);
    assert_eq!(old.visit(&world, &surer).await.leads_to().1["error"], "interaction_required");
    let page = old.visit(&world, &app.asks(&[("acr_values", "aal2")])).await;
    world.clock.advance(TimeDelta::seconds(30));
    // Another browser can't finish what this one began.
    let before = world.head().await;
    let stolen = shows(&world, &mut Browser::default(), &page, &mut key).await;
    assert_eq!(stolen.status, StatusCode::BAD_REQUEST, "{stolen:?}");
    assert_eq!(world.head().await, before, "something was written");
    let code = shows(&world, &mut old, &page, &mut key).await.code();
    let tokens = json(app.redeems(&world, &code, &[]), StatusCode::OK).await;
    let said = claims(tokens["id_token"].as_str().unwrap());
    assert_eq!((&said["acr"], &said["auth_time"]), (&json!("aal2"), &json!(world.now().timestamp())), "{said}");
    assert_eq!(old.cookies["inopsio-acme"], session, "another session");
}

#[tokio::test]
async fn somebody_has_several_passkeys_calls_them_what_they_want_and_does_without_one() {
    let world = World::named().await;
    let mut ada = PasskeyUser::person(&world, "ada@example.com", 1).await;
    let mut second = SoftKey::new(&world, 2);
    // It has no signature counter, as is usual for synced passkeys.
    second.counter = None;
    assert_eq!(makes(&world, &mut ada.browser, &mut second, "<a key>").await.leads_to().0, "/t/acme/account/passkeys");
    let page = ada.browser.visit(&world, PAGE).await;
    assert!(page.body.contains("a phone") && page.body.contains("&lt;a key&gt;"), "{page:?}");
    let there = Asks::on(&page).options["excludeCredentials"].as_array().unwrap().len();
    assert_eq!(there, 2, "a device makes one for a person, and no second one");
    let again = makes(&world, &mut ada.browser, &mut second, "again").await;
    assert!(again.status == StatusCode::BAD_REQUEST && again.alert().contains("made no passkey"), "{again:?}");

    let fields = [("passkey", second.name()), ("name", "the one in the safe".to_owned())];
    let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    ada.browser.fill_in(&world, &format!("{PAGE}/rename"), &fields).await.leads_to();
    let page = ada.browser.visit(&world, PAGE).await;
    assert!(page.body.contains("the one in the safe") && !page.body.contains("a key"), "{page:?}");
    let before = world.head().await;
    let nameless = ada.browser.fill_in(&world, &format!("{PAGE}/rename"), &fields[..1]).await;
    assert_eq!(nameless.status, StatusCode::BAD_REQUEST, "{nameless:?}");
    let unknown = ada.browser.fill_in(&world, &format!("{PAGE}/remove"), &[("passkey", "AAAA")]).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND, "{unknown:?}");
    assert_eq!(world.head().await, before, "something was written");

    for _ in 0..2 {
        let mut browser = Browser::default();
        let page = browser.visit(&world, "login").await;
        shows(&world, &mut browser, &page, &mut second).await.leads_to();
    }
    let first = ada.key.name();
    ada.browser.fill_in(&world, &format!("{PAGE}/remove"), &[("passkey", &first)]).await.leads_to();
    let mut browser = Browser::default();
    let page = browser.visit(&world, "login").await;
    let removed = shows(&world, &mut browser, &page, &mut ada.key).await;
    assert_eq!(removed.status, StatusCode::UNAUTHORIZED, "{removed:?}");
    let page = browser.signs_in(&world, "login", "ada@example.com", PASSWORD).await;
    assert_eq!(Asks::on(&page).options["allowCredentials"].as_array().unwrap().len(), 1);
    let second = second.name();
    ada.browser.fill_in(&world, &format!("{PAGE}/remove"), &[("passkey", &second)]).await.leads_to();
    let alone = Browser::default().signs_in(&world, "login", "ada@example.com", PASSWORD).await;
    assert_eq!(alone.leads_to().0, "/t/acme/account", "the password alone is enough again");
}

#[tokio::test]
async fn nobody_changes_passkeys_in_a_browser_that_was_left_open() {
    let world = World::named().await;
    let mut ada = PasskeyUser::person(&world, "ada@example.com", 1).await;
    let page = ada.browser.visit(&world, PAGE).await;
    world.clock.advance(kernel::MAX_AUTHENTICATION_AGE + TimeDelta::seconds(1));
    let before = world.head().await;
    let (asks, id) = (Asks::on(&page), ada.key.name());
    let answer = SoftKey::new(&world, 2).made(&asks.options);
    for (path, fields) in [
        (PAGE.to_owned(), vec![("pending", asks.pending.as_str()), ("name", "mine"), ("answer", answer.as_str())]),
        (format!("{PAGE}/rename"), vec![("passkey", id.as_str()), ("name", "mine")]),
        (format!("{PAGE}/remove"), vec![("passkey", id.as_str())]),
        (format!("{PAGE}/codes"), vec![]),
    ] {
        let asked = ada.browser.fill_in(&world, &path, &fields).await;
        assert!(asked.body.contains("Confirm that it is you"), "{path}: {asked:?}");
    }
    assert_eq!(world.head().await, before, "something was written");
    // The user authenticates again and continues to the page.
    let asked = ada.browser.visit(&world, PAGE).await;
    let led = shows(&world, &mut ada.browser, &asked, &mut ada.key).await;
    assert_eq!(led.leads_to().0, "/t/acme/account/passkeys");
    assert!(ada.browser.visit(&world, PAGE).await.body.contains("a phone"));
    // A user without a passkey enters the password again; and a stranger can't add an authenticator either.
    world.person("eve@example.com").await;
    let mut eve = Browser::default();
    eve.signs_in(&world, "login", "eve@example.com", PASSWORD).await;
    world.clock.advance(kernel::MAX_AUTHENTICATION_AGE + TimeDelta::seconds(1));
    for page in [PAGE, "account/authenticator"] {
        let asked = eve.visit(&world, page).await;
        assert!(asked.body.contains("Password") && !asked.body.contains("<svg"), "{asked:?}");
        let fields = [("pending", &*asked.hidden("pending")), ("login", "eve@example.com"), ("password", PASSWORD)];
        assert_eq!(eve.fill_in(&world, "login", &fields).await.leads_to().0, format!("/t/acme/{page}"));
        world.clock.advance(kernel::MAX_AUTHENTICATION_AGE + TimeDelta::seconds(1));
    }
}

#[tokio::test]
async fn who_lost_their_passkey_uses_a_recovery_code_or_is_helped_by_an_administrator() {
    let world = World::named().await;
    let mut ada = PasskeyUser::person(&world, "ada@example.com", 1).await;
    let mut browser = Browser::default();
    let page = browser.signs_in(&world, "login", "ada@example.com", PASSWORD).await;
    // The last form of the page is that for the code.
    let pending = page.body.rsplit_once("name=\"pending\" value=\"").unwrap().1.split_once('"').unwrap().0;
    for (code, status) in [
        ("000000", StatusCode::UNAUTHORIZED),
        (&*ada.recovery[0], StatusCode::SEE_OTHER),
        (&*ada.recovery[0], StatusCode::UNAUTHORIZED),
    ] {
        let shown = Browser::default().fill_in(&world, "code", &[("pending", pending), ("code", code)]).await;
        assert_eq!(shown.status, status, "{code}: {shown:?}");
    }
    let user = world.person_id("ada@example.com").await;
    world.run_as_admin(&ResetSecondFactor { user, reach: Reach::Everything }).await;
    let alone = browser.signs_in(&world, "login", "ada@example.com", PASSWORD).await;
    assert_eq!(alone.leads_to().0, "/t/acme/account");
    let page = Browser::default().visit(&world, "login").await;
    let lost = shows(&world, &mut Browser::default(), &page, &mut ada.key).await;
    assert_eq!(lost.status, StatusCode::UNAUTHORIZED, "{lost:?}");
    // It may be enrolled again, by its new owner: no old claim prevents that.
    world.person("bob@example.com").await;
    let mut bob = Browser::default();
    bob.signs_in(&world, "login", "bob@example.com", PASSWORD).await;
    assert_eq!(makes(&world, &mut bob, &mut ada.key, "found").await.status, StatusCode::OK);
    let user = world.person_id("bob@example.com").await;
    world.run_as_admin(&CloseAccount { user }).await;
    let page = Browser::default().visit(&world, "login").await;
    let closed = shows(&world, &mut Browser::default(), &page, &mut ada.key).await;
    assert_eq!(closed.status, StatusCode::UNAUTHORIZED, "{closed:?}");
}

#[tokio::test]
async fn an_authenticator_and_a_passkey_stand_in_for_each_other() {
    let world = World::named().await;
    let mut ada = PasskeyUser::person(&world, "ada@example.com", 1).await;
    let page = ada.browser.visit(&world, "account/authenticator").await;
    let key = page.body.split_once("<span class=\"code\">").unwrap().1.split('<').next().unwrap().replace(' ', "");
    let authenticator = Authenticator::of(&testbed::base32(&key)).unwrap();
    let code = authenticator.code(world.now()).unwrap();
    let fields = [("pending", &*page.hidden("pending")), ("code", &code)];
    let enrolled = ada.browser.fill_in(&world, "account/authenticator", &fields).await;
    assert_eq!(enrolled.status, StatusCode::OK, "{enrolled:?}");
    let mut browser = Browser::default();
    let page = browser.signs_in(&world, "login", "ada@example.com", PASSWORD).await;
    assert!(page.body.contains("Use a passkey") && page.body.contains("recovery codes instead"), "{page:?}");
    shows(&world, &mut browser, &page, &mut ada.key).await.leads_to();
    let passkey = ada.key.name();
    ada.browser.fill_in(&world, &format!("{PAGE}/remove"), &[("passkey", &passkey)]).await.leads_to();
    world.clock.advance(TimeDelta::seconds(30));
    let mut browser = Browser::default();
    let page = browser.signs_in(&world, "login", "ada@example.com", PASSWORD).await;
    assert!(!page.body.contains("passkey"), "{page:?}");
    let code = authenticator.code(world.now()).unwrap();
    browser.fill_in(&world, "code", &[("pending", &page.hidden("pending")), ("code", &code)]).await.leads_to();
}

#[tokio::test]
async fn a_page_that_asks_for_a_passkey_runs_one_script_of_ours_and_loads_nothing_else() {
    let world = World::named().await;
    let page = Browser::default().visit(&world, "login").await;
    let policy = page.header("content-security-policy");
    let script = format!("script-src {}/t/acme/passkey.js;", world.url);
    assert!(policy.contains(&script) && policy.contains("default-src 'none'"), "{policy}");
    assert!(!policy.contains("unsafe") && !policy.contains("connect-src"), "{policy}");
    assert_eq!(page.body.matches("<script").count(), 1, "{page:?}");
    assert!(page.body.contains("<script src=\"/t/acme/passkey.js\" defer></script>"), "{page:?}");
    let script = Browser::default().visit(&world, "passkey.js").await;
    assert_eq!(script.header("content-type"), "text/javascript; charset=utf-8");
    for reaches_out in ["fetch(", "XMLHttpRequest", "eval(", "innerHTML", "import("] {
        assert!(!script.body.contains(reaches_out), "{reaches_out}");
    }
    // At an address that can't have passkeys, such as 127.0.0.1, no page asks for one.
    let world = World::start().await;
    let page = Browser::default().visit(&world, "login").await;
    assert!(!page.body.contains("passkey") && !page.header("content-security-policy").contains("script"), "{page:?}");
}
