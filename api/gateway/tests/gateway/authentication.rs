//! Authentication of requests.

use std::time::Duration;

use gateway::auth::{KeyPair, TokenClaims, mint};
use jwt_simple::prelude::{Claims, Ed25519KeyPair, EdDSAKeyPairLike, HS256Key, JWTClaims, MACLike};
use kernel::Role;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::json;

use crate::world::{Answer, World};

fn claims(world: &World, ttl: Duration) -> JWTClaims<TokenClaims> {
    let claims = TokenClaims { tenant: world.tenant.uuid(), roles: vec![Role::Admin.to_string()] };
    Claims::with_custom_claims(claims, ttl.into()).with_issuer("inopsio").with_audience("inopsio").with_subject("eve")
}

#[tokio::test]
async fn only_a_token_of_our_own_that_is_valid_now_is_accepted() {
    let world = World::start().await;
    let hour = Duration::from_hours(1);
    let ours = Ed25519KeyPair::from_pem(world.config.auth.signing_key.reveal()).unwrap();
    let good = ours.sign(claims(&world, hour)).unwrap();

    let other_key = Ed25519KeyPair::generate().sign(claims(&world, hour)).unwrap();
    // The public key as a MAC secret: a verifier that trusts the token's `alg` header would accept it.
    let mac = HS256Key::from_bytes(&ours.public_key().to_bytes()).authenticate(claims(&world, hour)).unwrap();
    let pem_mac = HS256Key::from_bytes(world.config.auth.public_key.reveal().as_bytes())
        .authenticate(claims(&world, hour))
        .unwrap();
    let mut parts = good.split('.');
    let (_, payload, signature) = (parts.next(), parts.next().unwrap(), parts.next().unwrap());
    // {"alg":"none","typ":"JWT"}
    let none = format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{payload}.");
    let none_with_signature = format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{payload}.{signature}");
    let mut expired_claims = claims(&world, hour);
    expired_claims.issued_at = expired_claims.issued_at.map(|at| at - hour.into() - hour.into());
    expired_claims.expires_at = expired_claims.expires_at.map(|at| at - hour.into() - hour.into());
    let expired = ours.sign(expired_claims).unwrap();
    let mut endless = claims(&world, hour);
    endless.expires_at = None;
    let endless = ours.sign(endless).unwrap();
    let mut tomorrow = claims(&world, hour);
    tomorrow.invalid_before = tomorrow.expires_at;
    let tomorrow = ours.sign(tomorrow).unwrap();
    let issuer = ours.sign(claims(&world, hour).with_issuer("somebody")).unwrap();
    let audience = ours.sign(claims(&world, hour).with_audience("others")).unwrap();
    let changed = format!("{}x{}", &good[..good.len() / 2], &good[good.len() / 2 + 1..]);

    let with = |header: String| {
        world.anonymous(Method::POST, "/v1/crm/leads").header("authorization", header).json(&json!({ "name": "Eve" }))
    };
    let bearer = |token: &str| with(format!("Bearer {token}"));
    let refused = |request: RequestBuilder, code| (request, StatusCode::UNAUTHORIZED, code);
    world
        .refuses(vec![
            refused(world.anonymous(Method::POST, "/v1/crm/leads").json(&json!({ "name": "Eve" })), "token_missing"),
            refused(bearer(&other_key), "token_invalid"),
            refused(bearer(&mac), "token_invalid"),
            refused(bearer(&pem_mac), "token_invalid"),
            refused(bearer(&none), "token_invalid"),
            refused(bearer(&none_with_signature), "token_invalid"),
            refused(bearer(&expired), "token_expired"),
            refused(bearer(&endless), "token_without_expiry"),
            refused(bearer(&tomorrow), "token_not_yet_valid"),
            refused(bearer(&issuer), "token_issuer"),
            refused(bearer(&audience), "token_audience"),
            refused(bearer(&changed), "token_invalid"),
            refused(bearer("nonsense"), "token_invalid"),
            refused(bearer(&"x".repeat(5_000)), "token_malformed"),
            refused(with("Basic YWRhOmFkYQ==".to_owned()), "token_malformed"),
            refused(with("Bearer".to_owned()), "token_malformed"),
            refused(bearer("one").header("authorization", "Bearer another"), "token_malformed"),
        ])
        .await;
    assert_eq!(Answer::of(bearer(&good)).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn what_is_answered_to_a_token_is_kept_by_nobody_else() {
    let world = World::start().await;
    let lead = world.lead("Ada").await;
    let read = world.get(&format!("/v1/crm/leads/{lead}")).await;
    assert_eq!((read.header("etag"), read.header("cache-control")), ("\"1\"", "private, no-cache"), "{read:?}");
    let machine = world.post("/v1/auth/machines", json!({ "name": "m", "roles": ["viewer"] })).await;
    let secret = format!("/v1/auth/machines/{}/secret", machine.body["id"].as_str().unwrap());
    let secret = world.post(&secret, json!({})).await;
    assert!(secret.body["secret"].is_string() && secret.header("cache-control") == "no-store", "{secret:?}");
    for path in ["/v1/user/permissions", "/v1/jobs/crm", "/scim/v2/Users"] {
        let list = world.get(path).await;
        assert_eq!((list.status, list.header("cache-control")), (StatusCode::OK, "no-store"), "{path}: {list:?}");
    }
}

#[tokio::test]
async fn a_role_may_do_what_the_permission_table_says_and_no_more() {
    let world = World::start().await;
    let lead = world.lead("Ada").await;
    let as_role = |role, method, path: &str| world.anonymous(method, path).bearer_auth(world.token(&[role]));
    let mut refused = Vec::new();
    for role in [Role::Viewer, Role::Auditor] {
        let capture = as_role(role, Method::POST, "/v1/crm/leads").json(&json!({ "name": "Eve" }));
        refused.push((capture, StatusCode::FORBIDDEN, "permission_missing"));
        let found = Answer::of(as_role(role, Method::GET, &format!("/v1/crm/leads/{lead}"))).await;
        assert_eq!(found.status, StatusCode::OK, "{found:?}");
    }
    let pipeline = json!({ "name": "Sales", "stages": [{ "name": "Open", "probability": 10 }] });
    let by_member = as_role(Role::Member, Method::POST, "/v1/crm/pipelines").json(&pipeline);
    refused.push((by_member, StatusCode::FORBIDDEN, "permission_missing"));
    let backdated = as_role(Role::Manager, Method::POST, "/v1/crm/leads")
        .header("occurred-at", "2026-01-01T00:00:00Z")
        .json(&json!({ "name": "Eve" }));
    refused.push((backdated, StatusCode::FORBIDDEN, "permission_missing"));
    world.refuses(refused).await;
    let nobody = world.anonymous(Method::GET, &format!("/v1/crm/leads/{lead}")).bearer_auth(world.token(&[]));
    world.refuses(vec![(nobody, StatusCode::FORBIDDEN, "permission_missing")]).await;
}

/// Operations that need no token.
pub const PUBLIC: [&str; 2] = ["/v1/user/invitations/accept", "/v1/user/email/verify"];

/// A path of the contract with values for its parameters.
pub fn walked(path: &str) -> String {
    let part = |part: &str| match part {
        "{service}" => "crm".to_owned(),
        "{type}" => "crm.lead.captured".to_owned(),
        "{version}" => "1".to_owned(),
        "{role}" => "sales".to_owned(),
        "{letter}" => "projection.leads.1".to_owned(),
        id if id.starts_with('{') => "0197a8a0-0000-7000-8000-000000000001".to_owned(),
        plain => plain.to_owned(),
    };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}

#[tokio::test]
async fn every_operation_of_the_contract_asks_strangers_for_a_token() {
    let world = World::start().await;
    let contract = world.get("/openapi.json").await.body;
    let mut requests = Vec::new();
    for (path, operations) in contract["paths"].as_object().unwrap() {
        let path = walked(path);
        // Operations with mailed links need no token; all others do.
        if PUBLIC.contains(&path.as_str()) {
            continue;
        }
        for method in operations.as_object().unwrap().keys() {
            let method: Method = method.to_uppercase().parse().unwrap();
            let request = world.anonymous(method, &path);
            requests.push((request, StatusCode::UNAUTHORIZED, "token_missing"));
        }
    }
    assert!(requests.len() > 30, "the contract has only {} operations", requests.len());
    for path in ["/v1/crm/leads/7", "/v1/crm/leads/import?dry_run=maybe", "/v1/crm/leads?x=1"] {
        let method = if path.ends_with('7') { Method::GET } else { Method::POST };
        requests.push((world.anonymous(method, path), StatusCode::UNAUTHORIZED, "token_missing"));
    }
    let query = world.anonymous(Method::POST, "/graphql").json(&json!({ "query": "{ __typename }" }));
    requests.push((query, StatusCode::UNAUTHORIZED, "token_missing"));
    world.refuses(requests).await;
}

#[tokio::test]
async fn a_token_minted_with_another_key_pair_is_not_accepted_by_this_gateway() {
    let world = World::start().await;
    let mut auth = world.config.auth.clone();
    auth.signing_key = config::SecretText::new(KeyPair::generate().signing_key);
    let token = mint(&auth, world.tenant, "eve", &[Role::Admin], Duration::from_mins(1)).unwrap();
    let request = world.anonymous(Method::GET, "/v1/crm/leads/0197a8a0-0000-7000-8000-000000000001").bearer_auth(token);
    world.refuses(vec![(request, StatusCode::UNAUTHORIZED, "token_invalid")]).await;
}

#[tokio::test]
async fn others_verify_our_tokens_with_the_key_that_we_show() {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use jwt_simple::prelude::{Ed25519PublicKey, EdDSAPublicKeyLike};

    let world = World::start().await;
    let set = Answer::of(world.anonymous(Method::GET, "/.well-known/jwks.json")).await;
    assert_eq!((set.status, set.header("content-type")), (StatusCode::OK, "application/jwk-set+json"));
    let [key] = set.body["keys"].as_array().unwrap().as_slice() else { panic!("{set:?}") };
    for (member, value) in [("kty", "OKP"), ("crv", "Ed25519"), ("use", "sig"), ("alg", "EdDSA")] {
        assert_eq!(key[member], value, "{key}");
    }
    assert_eq!(key.as_object().unwrap().len(), 6, "nothing of the private key: {key}");
    // As an external client: with nothing but the published key set.
    let token = world.token(&[Role::Viewer]);
    let head = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    let head: serde_json::Value = serde_json::from_slice(&head).unwrap();
    assert_eq!(head["kid"], key["kid"], "the token names the key");
    let x = URL_SAFE_NO_PAD.decode(key["x"].as_str().unwrap()).unwrap();
    let claims = Ed25519PublicKey::from_bytes(&x).unwrap().verify_token::<TokenClaims>(&token, None).unwrap();
    assert_eq!(claims.custom.tenant, world.tenant.uuid());
}
