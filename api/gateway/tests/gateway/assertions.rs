//! Machines that authenticate by signed assertions (RFC 7523).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jwt_simple::prelude::{Claims, Ed25519KeyPair, EdDSAKeyPairLike};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::json;

use crate::issuers::{Machine, issuer};
use crate::world::{Answer, Form, World};

/// A machine that signs assertions instead of sending a secret.
pub struct Signer {
    id: String,
    pair: Ed25519KeyPair,
}

impl Signer {
    pub async fn register(world: &World, name: &str) -> Self {
        let Machine { id, .. } = Machine::register(world, name, &["viewer"]).await;
        let pair = Ed25519KeyPair::generate();
        let x = URL_SAFE_NO_PAD.encode(pair.public_key().to_bytes());
        let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "kid": "k1", "x": x });
        let set = world.post(&format!("/v1/auth/machines/{id}/keys"), json!({ "keys": [jwk] })).await;
        assert_eq!(set.status, StatusCode::OK, "{set:?}");
        Self { id, pair }
    }

    pub fn asserts(&self, audience: &str, jti: Option<&str>, minutes: u64) -> String {
        self.asserts_to_all(&[audience], jti, minutes)
    }

    pub fn asserts_to_all(&self, audiences: &[&str], jti: Option<&str>, minutes: u64) -> String {
        let claims = Claims::create(Duration::from_secs(60 * minutes).into());
        let claims = claims.with_issuer(&self.id).with_subject(&self.id);
        let mut claims = match audiences {
            [one] => claims.with_audience(one),
            several => claims.with_audiences(several.iter().map(|one| (*one).to_owned()).collect()),
        };
        claims.jwt_id = jti.map(str::to_owned);
        self.pair.clone().with_key_id("k1").sign(claims).unwrap()
    }
}

/// A request with an assertion to an endpoint of the issuer.
pub fn shows(world: &World, endpoint: &str, assertion: &str) -> RequestBuilder {
    world.anonymous(Method::POST, &format!("/t/acme/{endpoint}")).form(&[
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", assertion),
        ("grant_type", "client_credentials"),
        ("token", "x"),
    ])
}

async fn unknown(request: RequestBuilder, replayed: bool) {
    let answer = Answer::of(request).await;
    assert_eq!((answer.status, answer.body["error"].as_str()), (StatusCode::UNAUTHORIZED, Some("invalid_client")));
    assert_eq!(answer.body["error_description"].as_str().unwrap().contains("already used"), replayed, "{answer:?}");
}

#[tokio::test]
async fn a_machine_shows_who_it_is_by_signing() {
    let world = World::start().await;
    let signer = Signer::register(&world, "signer").await;
    let at = |endpoint: &str| format!("{}/{endpoint}", issuer(&world));
    for (number, audience) in [issuer(&world), at("token")].iter().enumerate() {
        // Many clients use a lifetime of a minute; Authlib uses an hour.
        for (jti, minutes) in [(format!("{number}"), 1), (format!("{number} of an hour"), 60)] {
            let good = signer.asserts(audience, Some(&jti), minutes);
            let (status, again) = (StatusCode::OK, StatusCode::UNAUTHORIZED);
            assert_eq!(Answer::of(shows(&world, "token", &good)).await.status, status, "{minutes} minutes");
            assert_eq!(Answer::of(shows(&world, "token", &good)).await.status, again, "{minutes} minutes, again");
        }
    }
    for bad in [
        signer.asserts("https://other.example.com", Some("3"), 1),
        signer.asserts(&issuer(&world), None, 1),
        signer.asserts(&issuer(&world), Some("4"), 61),
        signer.asserts(&at("introspect"), Some("5"), 1),
        signer.asserts(&at("revoke"), Some("6"), 1),
    ] {
        unknown(shows(&world, "token", &bad), false).await;
    }
    unknown(shows(&world, "revoke", &signer.asserts(&at("introspect"), Some("7"), 1)), false).await;
    let twice = [issuer(&world), at("introspect")];
    let named = signer.asserts_to_all(&[&twice[0], &twice[1]], Some("8"), 1);
    assert_eq!(Answer::of(shows(&world, "introspect", &named)).await.status, StatusCode::OK, "both are us, here");
}

#[tokio::test]
async fn attack_150_a_clients_assertion_that_is_for_another_endpoint_or_for_somebody_else_too() {
    let world = World::start().await;
    let auth = world.of("auth");
    let signer = Signer::register(&world, "signer").await;
    let at = |endpoint: &str| format!("{}/{endpoint}", issuer(&world));
    let (ours, theirs) = (issuer(&world), "https://other.example.com");
    // Creates the tenant's keys, which are made on first use.
    Answer::of(world.anonymous(Method::GET, "/t/acme/jwks")).await;
    for (number, (endpoint, audiences)) in [
        ("introspect", vec![at("revoke")]),
        ("revoke", vec![at("introspect")]),
        ("device_authorization", vec![at("introspect")]),
        ("token", vec![ours.clone(), theirs.to_owned()]),
        ("token", vec![at("token"), at("introspect")]),
        ("introspect", vec![ours.clone(), format!("{ours}/")]),
    ]
    .into_iter()
    .enumerate()
    {
        let audiences: Vec<&str> = audiences.iter().map(String::as_str).collect();
        let one = signer.asserts_to_all(&audiences, Some(&number.to_string()), 1);
        let before = world.head_of_all(auth).await;
        unknown(shows(&world, endpoint, &one), false).await;
        assert_eq!(world.head_of_all(auth).await, before + 1, "one record, and nothing is used up: {endpoint}");
    }
}

#[tokio::test]
async fn attack_89_a_clients_assertion_a_second_time_at_any_endpoint() {
    let world = World::start().await;
    let auth = world.of("auth");
    // Creates the tenant's keys, which are made on first use.
    Answer::of(world.anonymous(Method::GET, "/t/acme/jwks")).await;
    for endpoint in ["introspect", "revoke", "par", "device_authorization", "token"] {
        let signer = Signer::register(&world, endpoint).await;
        let at = |endpoint: &str| format!("{}/{endpoint}", issuer(&world));
        for (audience, jti) in [(at(endpoint), "own"), (at("token"), "token"), (issuer(&world), "issuer")] {
            let one = signer.asserts(&audience, Some(jti), 1);
            let before = world.head_of_all(auth).await;
            let first = Answer::of(shows(&world, endpoint, &one)).await;
            // Machines may not use these endpoints, but the assertion was authenticated, so it is used up.
            let (status, events) = match endpoint {
                "token" => (StatusCode::OK, 2),
                "introspect" | "revoke" => (StatusCode::OK, 1),
                _ => (StatusCode::BAD_REQUEST, 1),
            };
            assert_eq!(first.status, status, "{endpoint} for {jti}: {first:?}");
            assert_eq!(world.head_of_all(auth).await, before + events, "{endpoint} for {jti}");
            unknown(shows(&world, endpoint, &one), true).await;
            if jti == "issuer" {
                unknown(shows(&world, "token", &one), true).await;
                unknown(shows(&world, "introspect", &one), true).await;
            }
        }
    }
    // Of many concurrent uses exactly one succeeds.
    let one = Signer::register(&world, "at once").await.asserts(&issuer(&world), Some("1"), 1);
    let answers = futures::future::join_all((0..20).map(|_| Answer::of(shows(&world, "introspect", &one)))).await;
    let known = answers.iter().filter(|answer| answer.status == StatusCode::OK).count();
    assert_eq!(known, 1, "{known} were known by one assertion");
}

#[tokio::test]
async fn attack_244_a_private_key_that_was_sent_in_place_of_its_public_one() {
    let world = World::start().await;
    let Machine { id, .. } = Machine::register(&world, "signer", &["viewer"]).await;
    let pair = Ed25519KeyPair::generate();
    let encoded = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let (x, d) = (encoded(&pair.public_key().to_bytes()), encoded(&pair.to_bytes()[..32]));
    let whole = json!({ "kty": "OKP", "crv": "Ed25519", "x": x, "d": d });
    let client = json!({
        "name": "Reports", "confidential": true, "redirect_uris": ["https://reports.example.com/back"], "keys": [whole],
    });
    let before = world.head().await;
    for (path, body) in
        [(format!("/v1/auth/machines/{id}/keys"), json!({ "keys": [whole] })), ("/v1/auth/clients".to_owned(), client)]
    {
        let refused = world.post(&path, body).await;
        assert_eq!((refused.status, refused.code()), (StatusCode::BAD_REQUEST, "validation_failed"), "{refused:?}");
        let error = &refused.body["errors"][0];
        assert_eq!((&error["pointer"], &error["code"]), (&json!("/keys/0/d"), &json!("invalid_value")), "{refused:?}");
        assert!(!refused.body.to_string().contains(&d), "it is not repeated: {refused:?}");
    }
    assert_eq!(world.head().await, before);
}
