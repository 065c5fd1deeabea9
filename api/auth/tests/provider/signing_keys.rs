//! The signing keys: their algorithms and rotation.

use auth_aggregates::OurAlgorithm;
use auth_commands::{ChangeClient, ClientFields, Reach, RetireSigningKey, SetSignInPolicy};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use reqwest::StatusCode;
use sha2::{Digest, Sha256, Sha512};
use testbed::Browser;

use crate::world::{BACK, OUT, Visits, World, claims, json, query};

#[tokio::test]
async fn a_client_gets_id_tokens_of_the_algorithm_that_it_asks_for_and_access_tokens_stay_as_they_are() {
    let world = World::start().await;
    world.person("ada@example.com").await;
    let app = world.client(true).await;
    let alg = |token: &serde_json::Value| {
        let header = URL_SAFE_NO_PAD.decode(token.as_str().unwrap().split('.').next().unwrap()).unwrap();
        serde_json::from_slice::<serde_json::Value>(&header).unwrap()["alg"].take()
    };
    let keys = async || {
        let keys = json(world.get("jwks"), StatusCode::OK).await["keys"].take();
        keys.as_array().unwrap().iter().map(|key| key["alg"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    for algorithm in OurAlgorithm::ALL {
        let name = auth_aggregates::Algorithm::from(algorithm).as_str();
        assert!(keys().await.iter().all(|shown| shown != "RS256"), "it is made when it is needed");
        let fields = ClientFields {
            name: "The App".to_owned(),
            confidential: true,
            redirect_uris: vec![BACK.to_owned()],
            post_logout_redirect_uris: vec![OUT.to_owned()],
            trusted: true,
            id_token_signed_response_alg: algorithm,
            ..ClientFields::default()
        };
        world.run_as_admin(&ChangeClient { client: app.id, fields, reach: Reach::Everything }).await;
        let tokens = app.tokens(&world, &mut Browser::default()).await;
        assert_eq!((alg(&tokens["id_token"]), alg(&tokens["access_token"])), (name.into(), "EdDSA".into()));
        let access = tokens["access_token"].as_str().unwrap();
        let half = match algorithm {
            OurAlgorithm::EdDSA => Sha512::digest(access)[..32].to_vec(),
            OurAlgorithm::ES256 | OurAlgorithm::RS256 => Sha256::digest(access)[..16].to_vec(),
        };
        assert_eq!(claims(tokens["id_token"].as_str().unwrap())["at_hash"], URL_SAFE_NO_PAD.encode(half));
        // The ID token is accepted as a hint at sign-out.
        let hint = tokens["id_token"].as_str().unwrap();
        let leaves = query("logout", &[("id_token_hint", hint), ("post_logout_redirect_uri", OUT)]);
        assert_eq!(Browser::default().visit(&world, &leaves).await.leads_to().0, OUT);
    }
    assert_eq!(keys().await, ["EdDSA", "ES256", "RS256"], "one of each, however often it signs");
}

#[tokio::test]
async fn a_key_that_has_grown_old_is_followed_by_another_and_retired_when_nothing_it_signed_is_good_any_more() {
    let world = World::start().await;
    world.person("ada@example.com").await;
    let app = world.client(true).await;
    let kids = async || {
        let keys = world.http.get(format!("{}/jwks", world.issuer())).send().await.unwrap();
        let keys: serde_json::Value = keys.json().await.unwrap();
        let keys = keys["keys"].as_array().unwrap().iter().filter(|key| key["alg"] == "EdDSA");
        keys.map(|key| key["kid"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let signs = async || {
        let mut browser = Browser::default();
        let tokens = app.tokens(&world, &mut browser).await;
        (browser, tokens["id_token"].as_str().unwrap().to_owned())
    };
    signs().await;
    let [first] = &kids().await[..] else { panic!("one key") };
    // A caller uses the command id in advance that the rotation might have.
    let executor = world.provider.authority.executor();
    let taken = executor.internal_request(&world.admin(), Some(format!("rotate-signing-key-{first}")));
    let (second_factor, session_idle_minutes) = (None, Some(14 * 24 * 60));
    let policy = SetSignInPolicy { second_factor, session_idle_minutes, reach: Reach::Everything };
    executor.execute(&taken, &policy).await.unwrap();
    world.clock.advance(TimeDelta::days(91));
    let (mut browser, hint) = signs().await;
    let second = testbed::eventually("another key is shown", async || {
        let kids = kids().await;
        (kids.len() == 2 && kids[0] == *first).then(|| kids[1].clone())
    })
    .await;
    // The successor is retired before it ever signs, so the old key gets another successor.
    world.run_as_admin(&RetireSigningKey { kid: second.clone(), reach: Reach::Everything }).await;
    world.clock.advance(TimeDelta::hours(1));
    signs().await;
    let third = testbed::eventually("a third key is shown", async || {
        let kids = kids().await;
        (kids.len() == 2 && kids[0] == *first && kids[1] != second).then(|| kids[1].clone())
    })
    .await;

    // ID tokens of the old key are accepted at sign-out as long as a session can last.
    world.clock.advance(TimeDelta::days(2));
    signs().await;
    let id = app.id.to_string();
    let leaves =
        |hint: &str| query("logout", &[("id_token_hint", hint), ("post_logout_redirect_uri", OUT), ("client_id", &id)]);
    assert_eq!(kids().await, [first.clone(), third.clone()]);
    assert_eq!(browser.visit(&world, &leaves(&hint)).await.leads_to().0, OUT);
    assert_eq!(browser.visit(&world, "account").await.leads_to().0, "/t/acme/login");
    world.clock.advance(TimeDelta::days(14));
    let (mut browser, _) = signs().await;
    testbed::eventually("the old one is retired", async || (kids().await == [third.clone()]).then_some(())).await;
    // A hint that can't be verified any more is ignored.
    assert_eq!(Browser::default().visit(&world, &leaves(&hint)).await.leads_to().0, OUT);
    let asked = browser.visit(&world, &leaves(&hint)).await;
    assert!(asked.status == StatusCode::OK && asked.body.contains("Sign out?"), "{asked:?}");
}
