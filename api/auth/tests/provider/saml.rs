//! Sign-in through an identity provider.

use std::sync::atomic::Ordering;

use auth_api::totp::Authenticator;
use auth_commands::{ChangeSamlConnection, DeactivateSamlConnection, Reach, SamlConnectionFields};
use chrono::TimeDelta;
use face::Person;
use reqwest::StatusCode;
use serde_json::json;
use testbed::{Browser, Shown};

use crate::encrypting::{Encryption, key_of};
use crate::idp::{ADA, Idp, Words, finish_sign_in, post_response, refused, start_sign_in};
use crate::world::{PASSWORD, Visits, World, claims, json as answered};

#[tokio::test]
async fn whom_the_provider_signs_in_is_signed_in_and_tokens_say_that_it_was_the_provider() {
    let world = World::start().await;
    let idp = Idp::new(&world);
    let sp = idp.connect(&world, false).await;
    let mut browser = Browser::default();
    let request = start_sign_in(&world, &mut browser, &sp).await;
    let signed_in = world.now() - TimeDelta::hours(3);
    let words = Words { authenticated_at: signed_in, ..Words::new(&world, &sp, Some(&request)) };
    let shown = finish_sign_in(&world, &mut browser, &sp, &idp.says(&words)).await;
    assert_eq!(shown.leads_to().0, "/t/acme/account");
    assert!(browser.visit(&world, "account").await.body.contains(ADA));
    let (event, said) = world.last_event().await;
    assert_eq!(event, "auth.session.started");
    assert_eq!((&said["methods"], &said["saml"]["assertion"]), (&json!(["fed"]), &json!(words.id)));
    // The sign-in marks the account as in use, once: then no link is mailed to the unverified address.
    let mut other = Browser::default();
    let request = start_sign_in(&world, &mut other, &sp).await;
    finish_sign_in(&world, &mut other, &sp, &idp.says(&Words::new(&world, &sp, Some(&request)))).await;
    let events = world.events().await;
    assert_eq!(events.iter().filter(|(event, _)| event == "auth.account.entered").count(), 1);

    let app = world.client(true).await;
    let code = browser.visit(&world, &app.asks(&[])).await.code();
    let tokens = answered(app.redeems(&world, &code, &[]), StatusCode::OK).await;
    let said = claims(tokens["id_token"].as_str().unwrap());
    assert_eq!((&said["amr"], &said["acr"]), (&json!(["fed"]), &json!("aal1")), "{said}");
    assert_eq!(
        said["auth_time"],
        signed_in.timestamp(),
        "when they showed the provider who they are, not when they came"
    );
    assert_eq!(claims(tokens["access_token"].as_str().unwrap())["roles"], json!(["member"]));
    // The time of authentication is that at the provider.
    let page = browser.visit(&world, &app.asks(&[("max_age", "60")])).await;
    assert!(page.status == StatusCode::OK && page.body.contains("name=\"password\""), "{page:?}");
}

#[tokio::test]
async fn an_assertion_may_be_encrypted_as_stock_providers_do_it() {
    let world = World::start().await;
    let idp = Idp::new(&world);
    let sp = idp.connect(&world, true).await;
    // Before our encryption key was published, nothing can be decrypted.
    let stranger = rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2_048).unwrap().to_public_key();
    let words = Words::new(&world, &sp, None);
    let signed = words.assertion(&idp.signs(&words));
    refused(&world, &sp, &words.response(&Encryption::default().of(&stranger, &signed)), "saml_encryption").await;
    let key = key_of(&world, &sp).await;
    assert_eq!(key_of(&world, &sp).await, key, "a provider that has it keeps it");
    let all = [
        ("aes256-gcm", "rsa-oaep-mgf1p"),
        ("aes128-gcm", "rsa-oaep"),
        ("aes256-cbc", "rsa-oaep-mgf1p"),
        ("aes128-cbc", "rsa-oaep"),
    ];
    for (cipher, transport) in all {
        for beside in [false, true] {
            let words = Words::new(&world, &sp, None);
            let signed = words.assertion(&idp.signs(&words));
            let how = Encryption { cipher, transport, beside };
            let document = words.response(&how.of(&key, &signed));
            let shown = finish_sign_in(&world, &mut Browser::default(), &sp, &document).await;
            assert_eq!(shown.leads_to().0, "/t/acme/account", "{cipher} {transport} {beside}: {shown:?}");
        }
    }
    // With a signature around the encrypted assertion instead of inside it.
    let words = Words::new(&world, &sp, None);
    let sealed = Encryption::default().of(&key, &words.assertion(""));
    let signature = idp.signature("_response", &words.response(&sealed), &words.algorithms);
    let document = words.response_with("_response", &format!("{signature}{}", words.status("")), &sealed);
    let shown = finish_sign_in(&world, &mut Browser::default(), &sp, &document).await;
    assert_eq!(shown.leads_to().0, "/t/acme/account", "{shown:?}");
    // That signature covers this ciphertext, and does not hold for another one.
    let other = Words { name_id: "root@example.com".to_owned(), ..words };
    let other = Encryption::default().of(&key, &other.assertion(""));
    let value = |text: &str| text.rsplit_once("<xenc:CipherValue>").unwrap().1.split_once('<').unwrap().0.to_owned();
    refused(&world, &sp, &document.replace(&value(&sealed), &value(&other)), "saml_signature").await;
    // The conditions are checked as in an unencrypted assertion: audience, time, and single use.
    let words = Words { audience: "https://other.example.com".to_owned(), ..Words::new(&world, &sp, None) };
    let sealed = Encryption::default().of(&key, &words.assertion(&idp.signs(&words)));
    refused(&world, &sp, &words.response(&sealed), "saml_audience").await;
}

#[tokio::test]
async fn a_response_may_be_signed_as_a_whole() {
    let world = World::start().await;
    let idp = Idp::new(&world);
    let sp = idp.connect(&world, true).await;
    let words = Words::new(&world, &sp, None);
    let inside = words.assertion("");
    let signature = idp.signature("_response", &words.response(&inside), &words.algorithms);
    let signed = words.response_with("_response", &format!("{signature}{}", words.status("")), &inside);
    let shown = finish_sign_in(&world, &mut Browser::default(), &sp, &signed).await;
    assert_eq!(shown.leads_to().0, "/t/acme/account");
    // Then a destination is required.
    let nowhere = Words { destination: None, ..Words::new(&world, &sp, None) };
    let signature = idp.signature("_response", &nowhere.response(&nowhere.assertion("")), &nowhere.algorithms);
    let before = format!("{signature}{}", nowhere.status(""));
    refused(&world, &sp, &nowhere.response_with("_response", &before, &nowhere.assertion("")), "saml_destination")
        .await;
}

#[tokio::test]
async fn who_has_an_authenticator_here_is_asked_for_its_code_whoever_vouches() {
    let world = World::start().await;
    world.person(ADA).await;
    let mut own = Browser::default();
    own.signs_in(&world, "login", ADA, PASSWORD).await;
    let authenticator = enrols(&world, &mut own).await;

    let idp = Idp::new(&world);
    let sp = idp.connect(&world, true).await;
    let said = idp.says(&Words::new(&world, &sp, None));
    let mut browser = Browser::default();
    let page = finish_sign_in(&world, &mut browser, &sp, &said).await;
    assert!(page.status == StatusCode::OK && browser.cookies.is_empty(), "{page:?}");
    shows_code(&world, &mut browser, &page, &authenticator).await;
}

/// A signed-in user enrols an authenticator, so that its next code is unused.
async fn enrols(world: &World, browser: &mut Browser) -> Authenticator {
    let page = browser.visit(world, "account/authenticator").await;
    let key = page.body.split_once("<span class=\"code\">").unwrap().1.split_once('<').unwrap().0.replace(' ', "");
    let authenticator = Authenticator::of(&testbed::base32(&key)).unwrap();
    let (pending, code) = (page.hidden("pending"), authenticator.code(world.now()).unwrap());
    let enrolled = browser.fill_in(world, "account/authenticator", &[("pending", &pending), ("code", &code)]).await;
    assert_eq!(enrolled.status, StatusCode::OK, "{enrolled:?}");
    world.clock.advance(TimeDelta::seconds(30));
    authenticator
}

/// Enters the current code after a sign-in at the provider, which completes it.
async fn shows_code(world: &World, browser: &mut Browser, page: &Shown, authenticator: &Authenticator) {
    let code = authenticator.code(world.now()).unwrap();
    let fields = [("pending", page.hidden("pending")), ("code", code)];
    let fields = fields.each_ref().map(|(name, value)| (*name, value.as_str()));
    assert_eq!(browser.fill_in(world, "code", &fields).await.leads_to().0, "/t/acme/account");
    assert_eq!(world.last_event().await.1["methods"], json!(["fed", "otp"]));
}

#[tokio::test]
async fn who_has_an_authenticator_and_no_password_comes_in_under_a_new_address_and_is_asked_for_its_code() {
    let world = World::start().await;
    let idp = Idp::new(&world);
    let sp = idp.connect(&world, true).await;
    let mut before = Browser::default();
    let shown = finish_sign_in(&world, &mut before, &sp, &idp.says(&Words::new(&world, &sp, None))).await;
    assert_eq!(shown.leads_to().0, "/t/acme/account");
    let authenticator = enrols(&world, &mut before).await;
    // The address was changed, and the new one is not verified yet.
    let email = "countess@example.com".to_owned();
    let person = world.person_of(ADA).await;
    let person = Person { login: email.clone(), email: Some(email.clone()), email_verified: false, ..person };
    world.people.put(world.tenant.id, person);
    let said = idp.says(&Words { name_id: email, ..Words::new(&world, &sp, None) });
    let mut browser = Browser::default();
    let page = finish_sign_in(&world, &mut browser, &sp, &said).await;
    assert!(page.status == StatusCode::OK && page.body.contains("one-time-code"), "{page:?}");
    assert!(browser.cookies.is_empty(), "{page:?}");
    assert_eq!(before.visit(&world, "account").await.leads_to().0, "/t/acme/login", "what was begun before goes on");
    shows_code(&world, &mut browser, &page, &authenticator).await;
}

#[tokio::test]
async fn who_is_not_known_yet_is_told_to_begin_again_and_then_is_in() {
    let world = World::start().await;
    let idp = Idp::new(&world);
    let sp = idp.connect(&world, true).await;
    world.people.behind.store(true, Ordering::Relaxed);
    let mut browser = Browser::default();
    let shown = finish_sign_in(&world, &mut browser, &sp, &idp.says(&Words::new(&world, &sp, None))).await;
    assert!(shown.status == StatusCode::SERVICE_UNAVAILABLE && shown.body.contains("start again"), "{shown:?}");
    assert!(browser.cookies.is_empty(), "{shown:?}");
    assert_eq!(world.last_event().await.0, "auth.saml_assertion.used");
    world.people.behind.store(false, Ordering::Relaxed);
    let shown = finish_sign_in(&world, &mut browser, &sp, &idp.says(&Words::new(&world, &sp, None))).await;
    assert_eq!(shown.leads_to().0, "/t/acme/account");
}

#[tokio::test]
async fn who_is_no_user_and_is_not_to_become_one_or_may_not_sign_in_is_refused() {
    let world = World::start().await;
    let idp = Idp::new(&world);
    let sp = idp.connect(&world, true).await;
    let fields = || SamlConnectionFields { admits: false, provider_initiated: true, ..idp.fields() };
    world
        .run_as_admin(&ChangeSamlConnection {
            connection: sp.id.parse().unwrap(),
            fields: fields(),
            reach: Reach::Everything,
        })
        .await;
    let before = world.head().await;
    let shown = finish_sign_in(&world, &mut Browser::default(), &sp, &idp.says(&Words::new(&world, &sp, None))).await;
    assert_eq!((shown.status, world.last_event().await.1["reason"].as_str()), (StatusCode::FORBIDDEN, Some("unknown")));

    world.person(ADA).await;
    let mut person = world.person_of(ADA).await;
    person.may_sign_in = false;
    world.people.put(world.tenant.id, person);
    let before_locked = world.head().await;
    assert!(before_locked > before);
    let shown = finish_sign_in(&world, &mut Browser::default(), &sp, &idp.says(&Words::new(&world, &sp, None))).await;
    let reason = world.last_event().await.1["reason"].clone();
    assert_eq!((shown.status, reason.as_str()), (StatusCode::FORBIDDEN, Some("may_not_sign_in")));
    assert_eq!(world.head().await, before_locked + 1);
}

#[tokio::test]
async fn a_connection_that_is_deactivated_signs_nobody_in_and_is_as_unknown_as_one_that_never_was() {
    let world = World::start().await;
    let idp = Idp::new(&world);
    let sp = idp.connect(&world, true).await;
    let said = idp.says(&Words::new(&world, &sp, None));
    let under_way = post_response(&world, &sp, &said).await.leads_to().0;
    world
        .run_as_admin(&DeactivateSamlConnection { connection: sp.id.parse().unwrap(), reach: Reach::Everything })
        .await;
    let before = world.head().await;
    let mut browser = Browser::default();
    for shown in [
        post_response(&world, &sp, &said).await,
        browser.open(&format!("{}{under_way}", world.url)).await,
        browser.visit(&world, &format!("saml/{}/login", sp.id)).await,
        browser.visit(&world, "saml/0197a8a0-0000-7000-8000-000000000001/login").await,
        browser.visit(&world, "saml/nonsense/metadata").await,
    ] {
        assert_eq!(shown.status, StatusCode::NOT_FOUND, "{shown:?}");
    }
    assert_eq!(world.head().await, before, "something was written");
}

#[tokio::test]
async fn metadata_says_our_addresses_and_our_key_which_stays() {
    let world = World::start().await;
    let sp = Idp::new(&world).connect(&world, false).await;
    let path = format!("saml/{}/metadata", sp.id);
    let (one, other) = tokio::join!(world.get(&path).send(), world.get(&path).send());
    let (one, other) = (one.unwrap(), other.unwrap());
    assert_eq!(one.headers()["content-type"], "application/samlmetadata+xml");
    let (one, other) = (one.text().await.unwrap(), other.text().await.unwrap());
    assert_eq!(one, other, "two that ask at once are told of two keys");
    let certificate = one.split_once("X509Certificate>").unwrap().1.split_once('<').unwrap().0;
    assert!(saml::Certificate::from_base64(certificate).is_ok(), "{one}");
    for part in [&sp.entity_id, &sp.acs] {
        assert!(one.contains(&format!("\"{part}\"")), "{one}");
    }
}

#[tokio::test]
async fn the_log_names_the_person_to_nobody() {
    let world = World::start().await;
    let idp = Idp::new(&world);
    let sp = idp.connect(&world, true).await;
    let shown = finish_sign_in(&world, &mut Browser::default(), &sp, &idp.says(&Words::new(&world, &sp, None))).await;
    assert_eq!(shown.leads_to().0, "/t/acme/account");
    for (event, payload) in world.events().await {
        assert!(!payload.to_string().contains(ADA), "{event}: {payload}");
    }
}
