//! Tenants' issuers: machines get tokens and API keys, use them, and have them revoked.

use std::time::Duration;

use auth_commands::GiveConsent;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jwt_simple::prelude::{Ed25519PublicKey, EdDSAPublicKeyLike};
use kernel::Role;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use crate::world::{Answer, Form, PROPAGATION, World};

/// A lead that does not exist: requesting it needs `crm:lead:read`, and nothing else.
pub const NO_LEAD: &str = "/v1/crm/leads/0197a8a0-0000-7000-8000-000000000001";

/// A machine with a secret.
pub struct Machine {
    pub id: String,
    pub secret: String,
}

impl Machine {
    pub async fn register(world: &World, name: &str, roles: &[&str]) -> Self {
        let made = world.post("/v1/auth/machines", json!({ "name": name, "roles": roles })).await;
        assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
        let id = made.body["id"].as_str().unwrap().to_owned();
        let set = world.post(&format!("/v1/auth/machines/{id}/secret"), json!({})).await;
        assert_eq!(set.status, StatusCode::OK, "{set:?}");
        Self { id, secret: set.body["secret"].as_str().unwrap().to_owned() }
    }

    /// Requests a token with its secret.
    pub fn asks(&self, world: &World, more: &[(&str, &str)]) -> RequestBuilder {
        let form: Vec<_> = [("grant_type", "client_credentials")].iter().chain(more).copied().collect();
        token_endpoint(world).basic_auth(&self.id, Some(&self.secret)).form(&form)
    }

    pub async fn token(&self, world: &World) -> String {
        let answer = Answer::of(self.asks(world, &[])).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        assert_eq!((answer.body["token_type"].as_str(), answer.header("cache-control")), (Some("Bearer"), "no-store"));
        answer.body["access_token"].as_str().unwrap().to_owned()
    }

    /// Issues an API key for it.
    pub async fn api_key(&self, world: &World, more: Value) -> (String, String) {
        let mut body = json!({ "machine": self.id, "name": "nightly" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let made = world.post("/v1/auth/api-keys", body).await;
        assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
        (made.body["id"].as_str().unwrap().to_owned(), made.body["secret"].as_str().unwrap().to_owned())
    }
}

pub fn issuer(world: &World) -> String {
    format!("{}/t/acme", world.url)
}

pub fn token_endpoint(world: &World) -> RequestBuilder {
    world.anonymous(Method::POST, "/t/acme/token")
}

/// A request that needs `crm:lead:read`, with this token.
pub fn reads(world: &World, token: &str) -> RequestBuilder {
    world.anonymous(Method::GET, NO_LEAD).bearer_auth(token)
}

/// The claims of a token, without verification.
pub fn claims(token: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

pub fn header(token: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap()).unwrap()
}

/// Waits until a token is refused with one of these codes, within [`PROPAGATION`].
pub async fn refused_within_a_second(world: &World, token: &str, codes: &[&str]) {
    let refused = async {
        loop {
            let answer = Answer::of(reads(world, token)).await;
            if answer.status == StatusCode::UNAUTHORIZED {
                return answer.code().to_owned();
            }
            tokio::task::yield_now().await;
        }
    };
    let code = tokio::time::timeout(PROPAGATION, refused).await.expect("still accepted");
    assert!(codes.contains(&&*code), "{code}");
}

#[tokio::test]
async fn a_client_finds_all_that_it_needs_from_the_issuer_alone() {
    let world = World::start().await;
    let configuration = Answer::of(world.anonymous(Method::GET, "/t/acme/.well-known/openid-configuration")).await;
    assert_eq!(configuration.status, StatusCode::OK, "{configuration:?}");
    assert_eq!(configuration.body["issuer"], issuer(&world));
    let other = Answer::of(world.anonymous(Method::GET, "/.well-known/oauth-authorization-server/t/acme")).await;
    assert_eq!(other.body, configuration.body, "RFC 8414 puts it elsewhere");
    for (member, url) in configuration.body.as_object().unwrap() {
        if member.ends_with("_endpoint") || member == "jwks_uri" {
            assert!(url.as_str().unwrap().starts_with(&issuer(&world)), "{member}: {url}");
        }
    }
    let unknown = Answer::of(world.anonymous(Method::GET, "/t/nobody/.well-known/openid-configuration")).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND, "{unknown:?}");
    // Neither an id nor a malformed short name names a tenant.
    for name in [&*world.tenant.to_string(), "ACME", "a", "acme%20"] {
        let unknown = Answer::of(world.anonymous(Method::GET, &format!("/t/{name}/jwks"))).await;
        assert_eq!(unknown.status, StatusCode::NOT_FOUND, "{name}: {unknown:?}");
    }
}

#[tokio::test]
async fn a_machine_gets_a_token_with_its_secret_and_is_what_its_roles_say() {
    let world = World::start().await;
    let machine = Machine::register(&world, "reader", &["viewer"]).await;
    let token = machine.token(&world).await;
    assert_eq!(header(&token)["typ"], "at+jwt");
    let said = claims(&token);
    for (claim, value) in [
        ("iss", json!(issuer(&world))),
        ("sub", json!(machine.id)),
        ("client_id", json!(machine.id)),
        ("tenant", json!(world.tenant.to_string())),
        ("roles", json!(["viewer"])),
        ("scope", json!("api")),
    ] {
        assert_eq!(said[claim], value, "{claim} of {said}");
    }
    let audiences = said["aud"].as_array().unwrap();
    assert!(
        audiences.len() == 2 && audiences.contains(&json!("inopsio")) && audiences.contains(&said["iss"]),
        "{said}"
    );
    assert!(said["jti"].is_string() && said["exp"].as_i64() > said["iat"].as_i64(), "{said}");

    // As an external client: with nothing but the published key set.
    let set = Answer::of(world.anonymous(Method::GET, "/t/acme/jwks")).await;
    assert_eq!(set.header("content-type"), "application/jwk-set+json");
    let kid = header(&token)["kid"].clone();
    let key = set.body["keys"].as_array().unwrap().iter().find(|key| key["kid"] == kid).unwrap().clone();
    assert!(set.body["keys"].as_array().unwrap().iter().all(|key| key.get("d").is_none()), "private parts are shown");
    let x = URL_SAFE_NO_PAD.decode(key["x"].as_str().unwrap()).unwrap();
    Ed25519PublicKey::from_bytes(&x).unwrap().verify_token::<Value>(&token, None).unwrap();

    let found = Answer::of(reads(&world, &token)).await;
    assert_eq!((found.status, found.code()), (StatusCode::NOT_FOUND, "not_found"), "a viewer may look");
    let write = world.anonymous(Method::POST, "/v1/crm/leads").bearer_auth(&token).json(&json!({ "name": "Eve" }));
    world.refuses(vec![(write, StatusCode::FORBIDDEN, "permission_missing")]).await;
}

#[tokio::test]
async fn a_token_reaches_no_further_than_its_scope() {
    let world = World::start().await;
    let machine = Machine::register(&world, "writer", &["admin"]).await;
    let answer = Answer::of(machine.asks(&world, &[("scope", "crm:lead:read crm:contact:*")])).await;
    let token = answer.body["access_token"].as_str().unwrap().to_owned();
    assert_eq!(Answer::of(reads(&world, &token)).await.status, StatusCode::NOT_FOUND);
    let write = world.anonymous(Method::POST, "/v1/crm/leads").bearer_auth(&token).json(&json!({ "name": "Eve" }));
    world.refuses(vec![(write, StatusCode::FORBIDDEN, "permission_missing")]).await;
    let contact = world.anonymous(Method::POST, "/v1/crm/contacts").bearer_auth(&token).json(&json!({ "name": "Ada" }));
    assert_eq!(Answer::of(contact).await.status, StatusCode::CREATED);
    let unknown = Answer::of(machine.asks(&world, &[("scope", "everything")])).await;
    assert_eq!((unknown.status, unknown.body["error"].as_str()), (StatusCode::BAD_REQUEST, Some("invalid_scope")));
}

#[tokio::test]
async fn an_api_key_is_a_bearer_token_until_it_is_revoked() {
    let world = World::start().await;
    let machine = Machine::register(&world, "integration", &["member"]).await;
    let (id, key) = machine.api_key(&world, json!({ "scopes": ["crm:lead:read"] })).await;
    assert_eq!(Answer::of(reads(&world, &key)).await.status, StatusCode::NOT_FOUND);
    let write = world.anonymous(Method::POST, "/v1/crm/leads").bearer_auth(&key).json(&json!({ "name": "Eve" }));
    world.refuses(vec![(write, StatusCode::FORBIDDEN, "permission_missing")]).await;
    // The use of a key is recorded asynchronously.
    let used = async {
        while world.get(&format!("/v1/auth/api-keys/{id}")).await.body["last_used_at"].is_null() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), used).await.expect("its use is not noted");
    let revoked = world.post(&format!("/v1/auth/api-keys/{id}/revoke"), json!({})).await;
    assert_eq!(revoked.status, StatusCode::OK, "{revoked:?}");
    refused_within_a_second(&world, &key, &["token_revoked"]).await;
    let shown = world.get(&format!("/v1/auth/api-keys/{id}")).await;
    assert_eq!(shown.body["revoked"], true, "{shown:?}");
    assert!(!shown.body.to_string().contains(&key[4..]), "the secret is shown again");
}

#[tokio::test]
async fn the_secret_of_a_key_is_shown_once_however_often_the_request_comes() {
    let world = World::start().await;
    let machine = Machine::register(&world, "once", &["viewer"]).await;
    let body = json!({ "machine": machine.id, "name": "nightly" });
    let ask = || world.request(Method::POST, "/v1/auth/api-keys").header("idempotency-key", "k").json(&body);
    let (first, again) = (Answer::of(ask()).await, Answer::of(ask()).await);
    assert!(first.body["secret"].is_string() && again.body["secret"].is_null(), "{first:?} {again:?}");
    assert_eq!((&first.body["id"], again.header("idempotency-replayed")), (&again.body["id"], "true"));
}

#[tokio::test]
async fn a_deactivated_machine_is_out_at_once_and_for_its_old_tokens_for_ever() {
    let world = World::start().await;
    let machine = Machine::register(&world, "sensor", &["viewer"]).await;
    let (token, (_, key)) = (machine.token(&world).await, machine.api_key(&world, json!({})).await);
    for bearer in [&token, &key] {
        assert_eq!(Answer::of(reads(&world, bearer)).await.status, StatusCode::NOT_FOUND);
    }
    let path = format!("/v1/auth/machines/{}", machine.id);
    assert_eq!(world.post(&format!("{path}/deactivate"), json!({})).await.status, StatusCode::OK);
    refused_within_a_second(&world, &token, &["token_revoked"]).await;
    refused_within_a_second(&world, &key, &["token_revoked"]).await;
    let before = world.head_of(&world.auth).await;
    let asked = Answer::of(machine.asks(&world, &[])).await;
    assert_eq!((asked.status, asked.body["error"].as_str()), (StatusCode::UNAUTHORIZED, Some("invalid_client")));
    assert_eq!(world.head_of(&world.auth).await, before + 1, "one record, and no grant");
    assert_eq!(world.post(&format!("{path}/reactivate"), json!({})).await.status, StatusCode::OK);
    refused_within_a_second(&world, &token, &["token_revoked"]).await;
    assert_eq!(Answer::of(reads(&world, &key)).await.status, StatusCode::NOT_FOUND, "keys are its own, and it is back");
}

#[tokio::test]
async fn a_token_that_was_given_back_holds_no_more() {
    let world = World::start().await;
    let machine = Machine::register(&world, "careful", &["viewer"]).await;
    let token = machine.token(&world).await;
    let ask = |path: &str, token: &str| {
        let request = world.anonymous(Method::POST, &format!("/t/acme/{path}"));
        request.basic_auth(&machine.id, Some(&machine.secret)).form(&[("token", token)])
    };
    let before = Answer::of(ask("introspect", &token)).await;
    assert_eq!((&before.body["active"], &before.body["sub"]), (&json!(true), &json!(machine.id)), "{before:?}");
    assert_eq!(Answer::of(ask("revoke", &token)).await.status, StatusCode::OK);
    refused_within_a_second(&world, &token, &["token_revoked"]).await;
    assert_eq!(Answer::of(ask("introspect", &token)).await.body, json!({ "active": false }));
    assert_eq!(Answer::of(ask("revoke", "nonsense")).await.status, StatusCode::OK, "RFC 7009 wants it so");
    let stranger = Answer::of(world.anonymous(Method::POST, "/t/acme/introspect").form(&[("token", &token)])).await;
    assert_eq!(stranger.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn applications_are_listed_by_name_as_they_are_now() {
    let world = World::start().await;
    let register = async |name: &str| {
        let back = format!("https://{}.example.com/back", name.to_lowercase());
        let body = json!({ "name": name, "confidential": true, "redirect_uris": [back] });
        world.post("/v1/auth/clients", body).await.body["id"].as_str().unwrap().to_owned()
    };
    let (wiki, reports) = (register("Wiki").await, register("Reports").await);
    assert_eq!(world.post(&format!("/v1/auth/clients/{wiki}/secret"), json!({})).await.status, StatusCode::OK);
    let last = world.post(&format!("/v1/auth/clients/{reports}/deactivate"), json!({})).await;
    let query = "query($active: Boolean) { auth { clients(filter: {active: $active}) {
        totalCount nodes { id name confidential redirectUris hasSecret active version } } } }";
    let ask = async |token: String, active: Value| {
        let request = world.anonymous(Method::POST, "/graphql").bearer_auth(token);
        let body = json!({ "query": query, "variables": { "active": active } });
        Answer::of(request.header("x-min-position", last.header("x-position")).json(&body)).await.body
    };
    let shown = |id: &str, name: &str, active: bool| {
        let back = format!("https://{}.example.com/back", name.to_lowercase());
        json!({ "id": id, "name": name, "confidential": true, "redirectUris": [back], "hasSecret": active, "active": active, "version": 2 })
    };
    let all = ask(world.token(&[Role::Admin]), Value::Null).await;
    let expected = [shown(&reports, "Reports", false), shown(&wiki, "Wiki", true)];
    assert_eq!(all["data"]["auth"]["clients"], json!({ "totalCount": 2, "nodes": expected }), "{all}");
    let active = ask(world.token(&[Role::Admin]), json!(true)).await;
    assert_eq!(active["data"]["auth"]["clients"]["nodes"], json!([expected[1]]), "{active}");
    let one = json!({ "query": format!("{{ auth {{ client(id: \"{wiki}\") {{ name }} }} }}") });
    assert_eq!(world.post("/graphql", one).await.body["data"]["auth"]["client"]["name"], "Wiki");
    let strangers = ask(world.stranger(), Value::Null).await;
    assert_eq!(strangers["data"]["auth"]["clients"]["totalCount"], 0, "{strangers}");
    let refused = ask(world.token(&[Role::Member]), Value::Null).await;
    assert_eq!(refused["errors"][0]["extensions"]["code"], "permission_missing", "{refused}");
}

#[tokio::test]
async fn machines_are_listed_with_their_keys() {
    let world = World::start().await;
    let machine = Machine::register(&world, "listed", &["viewer"]).await;
    let (_, _) = machine.api_key(&world, json!({ "scopes": ["crm:*"] })).await;
    let position = world.post("/v1/auth/machines", json!({ "name": "another", "roles": [] })).await;
    let query = "{ auth { machines { totalCount nodes { name roles hasSecret active apiKeys { totalCount nodes { name scopes } } } } } }";
    let ask = |token: String| {
        let request = world.anonymous(Method::POST, "/graphql").bearer_auth(token);
        request.header("x-min-position", position.header("x-position")).json(&json!({ "query": query }))
    };
    let answer = Answer::of(ask(world.token(&[Role::Admin]))).await;
    let machines = &answer.body["data"]["auth"]["machines"];
    assert_eq!(machines["totalCount"], 2, "{answer:?}");
    let keys = json!({ "totalCount": 1, "nodes": [{ "name": "nightly", "scopes": ["crm:*"] }] });
    assert_eq!(machines["nodes"][1]["apiKeys"], keys, "{answer:?}");
    let refused = Answer::of(ask(world.token(&[Role::Member]))).await;
    assert!(refused.body["errors"][0].to_string().contains("permission_missing"), "{refused:?}");
}

#[tokio::test]
async fn a_machine_is_told_that_it_is_no_user_though_its_subject_is_an_id() {
    let world = World::start().await;
    let token = Machine::register(&world, "nobody", &["admin"]).await.token(&world).await;
    let own = |method, path: &str| world.anonymous(method, &format!("/v1/user/me{path}")).bearer_auth(&token);
    let change = |path: &str, body: Value| own(Method::POST, path).json(&body);
    let preference = json!({ "key": "theme", "value": "dark" });
    let requests = [
        own(Method::GET, ""),
        own(Method::GET, "/export"),
        change("/verify-email", json!({})),
        change("/send-phone-code", json!({})),
        change("/verify-phone", json!({ "code": "123456" })),
        change("/change-profile", json!({ "name": "Ada" })),
        change("/remove-picture", json!({})),
        change("/preferences/choose", preference),
        change("/erase", json!({ "email": "ada@example.com" })),
    ];
    world.refuses(requests.map(|request| (request, StatusCode::NOT_FOUND, "not_a_user")).into()).await;
}

#[tokio::test]
async fn a_key_is_refused_for_a_machine_that_is_out_for_scopes_that_there_are_not_and_for_the_past() {
    let world = World::start().await;
    let machine = Machine::register(&world, "sensor", &["member"]).await;
    let issue = |more: Value| {
        let mut body = json!({ "machine": machine.id, "name": "nightly" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        world.request(Method::POST, "/v1/auth/api-keys").json(&body)
    };
    let keys = |key: Value| {
        world.request(Method::POST, &format!("/v1/auth/machines/{}/keys", machine.id)).json(&json!({ "keys": [key] }))
    };
    let invalid = |request| (request, StatusCode::BAD_REQUEST, "validation_failed");
    world
        .refuses(vec![
            invalid(issue(json!({ "scopes": ["crm:lead:read", "crm:nothing:read"] }))),
            invalid(issue(json!({ "scopes": ["ledger:*"] }))),
            invalid(issue(json!({ "expires_at": "2020-01-01T00:00:00Z" }))),
            invalid(issue(json!({ "expires_at": "2099-01-01" }))),
            invalid(keys(json!({ "kty": "OKP", "crv": "Ed25519", "x": "AAAA" }))),
            invalid(keys(json!({ "kty": "RSA", "n": "A".repeat(171), "e": "AQAB" }))),
        ])
        .await;
    let out = world.post(&format!("/v1/auth/machines/{}/deactivate", machine.id), json!({})).await;
    assert_eq!(out.status, StatusCode::OK, "{out:?}");
    world.refuses(vec![(issue(json!({})), StatusCode::CONFLICT, "machine_deactivated")]).await;
}

#[tokio::test]
async fn an_import_that_a_machine_asked_for_does_not_go_on_when_it_is_shut_out() {
    let world = World::start().await;
    let machine = Machine::register(&world, "importer", &["admin"]).await;
    let token = machine.token(&world).await;
    let import = async |name: &str| {
        let request = world.anonymous(Method::POST, "/v1/user/imports").bearer_auth(&token);
        let file = format!("email,name,roles\n{name}@example.com,{name},admin\n");
        let asked = Answer::of(request.header("content-type", "text/csv").body(file)).await;
        assert_eq!(asked.status, StatusCode::CREATED, "{asked:?}");
        asked.header("location").to_owned()
    };
    let until = async |job: &str, state: &str| {
        testbed::eventually(&format!("the import is {state}"), async || {
            Some(world.get(job).await.body).filter(|job| job["state"] == state)
        })
        .await
    };
    let first = until(&import("first").await, "completed").await;
    assert_eq!(first["result"]["taken"], 1, "what it may it does: {first}");
    assert_eq!(world.post("/v1/jobs/user/queues/imports/pause", json!({})).await.status, StatusCode::OK);
    let (demoted, gone) = (import("second").await, import("third").await);
    let path = format!("/v1/auth/machines/{}", machine.id);
    let change = json!({ "name": "importer", "roles": ["viewer"] });
    let changed = Answer::of(world.request(Method::POST, &format!("{path}/change")).json(&change)).await;
    assert_eq!(changed.status, StatusCode::OK, "{changed:?}");
    assert_eq!(world.post("/v1/jobs/user/queues/imports/resume", json!({})).await.status, StatusCode::OK);
    assert_eq!(until(&demoted, "discarded").await["code"], "importer_not_allowed");
    assert_eq!(until(&gone, "discarded").await["code"], "importer_not_allowed");
    assert_eq!(world.post(&format!("{path}/deactivate"), json!({})).await.status, StatusCode::OK);
    // A retry by another caller does not give the job that caller's permissions.
    assert_eq!(world.post(&format!("{gone}/retry"), json!({})).await.status, StatusCode::OK);
    testbed::eventually("the retry has failed", async || {
        (world.get(&gone).await.body["code"] == "importer_inactive").then_some(())
    })
    .await;
}

/// The tenant's EdDSA keys, with the current use of each.
async fn key_uses(world: &World) -> Vec<(String, String)> {
    let listed = world.get("/v1/auth/signing-keys").await;
    assert_eq!(listed.status, StatusCode::OK, "{listed:?}");
    let keys = listed.body["keys"].as_array().unwrap().iter().filter(|key| key["algorithm"] == "EdDSA");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    keys.map(|key| (text(&key["kid"]), text(&key["status"]))).collect()
}

#[tokio::test]
async fn keys_rotate_without_a_request_that_fails_and_what_a_retired_one_signed_is_refused_within_a_second() {
    let world = World::start_with(|config| config.auth.key_overlap_seconds = 2).await;
    let machine = Machine::register(&world, "reader", &["viewer"]).await;
    let before = machine.token(&world).await;
    let old = header(&before)["kid"].as_str().unwrap().to_owned();
    let is = |kid: &str, status: &str| (kid.to_owned(), status.to_owned());
    assert_eq!(key_uses(&world).await, [is(&old, "signs")]);
    let retire =
        |kid: &str| world.request(Method::POST, &format!("/v1/auth/signing-keys/{kid}/retire")).json(&json!({}));
    let rotate = world.request(Method::POST, "/v1/auth/signing-keys/rotate").json(&json!({ "algorithm": "HS256" }));
    world
        .refuses(vec![
            (retire(&old), StatusCode::CONFLICT, "key_signs"),
            (retire("nobodys"), StatusCode::NOT_FOUND, "not_found"),
            (rotate, StatusCode::BAD_REQUEST, "validation_failed"),
        ])
        .await;

    let rotated = world.post("/v1/auth/signing-keys/rotate", json!({})).await;
    assert_eq!(rotated.status, StatusCode::OK, "{rotated:?}");
    let new = rotated.body["kid"].as_str().unwrap().to_owned();
    assert_eq!(key_uses(&world).await, [is(&old, "signs"), is(&new, "waits")]);
    let published = async || Answer::of(world.anonymous(Method::GET, "/t/acme/jwks")).await.body.to_string();
    let both = published().await;
    assert!(both.contains(&old) && both.contains(&new), "{both}");
    testbed::eventually("the new key signs", async || {
        let token = machine.token(&world).await;
        for token in [&before, &token] {
            assert_eq!(Answer::of(reads(&world, token)).await.status, StatusCode::NOT_FOUND, "a viewer may look");
        }
        (header(&token)["kid"] == new).then_some(())
    })
    .await;
    assert_eq!(key_uses(&world).await, [is(&old, "verifies"), is(&new, "signs")]);

    let after = machine.token(&world).await;
    let retired = Answer::of(retire(&old)).await;
    assert_eq!(retired.status, StatusCode::OK, "{retired:?}");
    refused_within_a_second(&world, &before, &["token_invalid"]).await;
    assert_eq!(Answer::of(reads(&world, &after)).await.status, StatusCode::NOT_FOUND);
    assert!(!published().await.contains(&old));
}

#[tokio::test]
async fn what_somebody_lets_applications_do_is_listed_and_taken_back_and_so_is_a_single_grant() {
    let world = World::start().await;
    let body =
        json!({ "name": "Reports", "confidential": true, "redirect_uris": ["https://reports.example.com/back"] });
    let client = world.post("/v1/auth/clients", body).await.body["id"].as_str().unwrap().to_owned();
    let user = "0197a8a0-0000-7000-8000-00000000ada1";
    let clock = std::sync::Arc::new(kernel::SystemClock);
    let store = eventstore::EventStore::open(&world.auth, world.config.log_settings(), clock.clone()).await.unwrap();
    let settings = executor::Settings { cache_bytes: 1 << 20, snapshot_events: 0, claim_key: [0x5e; 32] };
    let ids = std::sync::Arc::new(kernel::SystemIds);
    let executor = executor::Executor::new(store.clone(), clock, ids, settings);
    let scope = vec!["crm:lead:read".to_owned()];
    let consent = GiveConsent { user: user.parse().unwrap(), client: client.parse().unwrap(), scope };
    executor.run(&auth_commands::protocol(world.tenant, user), &consent).await.unwrap();
    store.close().await;

    let consents = format!("/v1/auth/users/{user}/consents");
    let listed = world.get(&consents).await;
    let expected = json!([{ "client": client, "name": "Reports", "scope": ["crm:lead:read"] }]);
    assert_eq!((listed.status, &listed.body["consents"]), (StatusCode::OK, &expected), "{listed:?}");
    let withdraw = |user: &str| format!("/v1/auth/users/{user}/consents/{client}/withdraw");
    let nobody = "0197a8a0-0000-7000-8000-000000000001";
    let unknown = world.request(Method::POST, &withdraw(nobody)).json(&json!({}));
    let nobodys = world.request(Method::GET, &format!("/v1/auth/users/{nobody}/consents"));
    let strangers = world.anonymous(Method::GET, &consents).bearer_auth(world.stranger());
    let nothing = format!("/v1/auth/users/{user}/consents/{nobody}/withdraw");
    let nothing = world.request(Method::POST, &nothing).json(&json!({}));
    let refused = [unknown, nobodys, strangers, nothing].map(|request| (request, StatusCode::NOT_FOUND, "not_found"));
    world.refuses(refused.into()).await;
    // A user without an account has an empty list of consents.
    let eve = world.post("/v1/user/users", json!({ "name": "Eve", "email": "eve@example.com" })).await;
    let of_eve = world.get(&format!("/v1/auth/users/{}/consents", eve.body["id"].as_str().unwrap())).await;
    assert_eq!((of_eve.status, &of_eve.body), (StatusCode::OK, &json!({ "consents": [] })), "{of_eve:?}");
    let withdrawn = world.post(&withdraw(user), json!({})).await;
    assert_eq!(withdrawn.status, StatusCode::OK, "{withdrawn:?}");
    assert_eq!(world.get(&consents).await.body["consents"], json!([]));

    let machine = Machine::register(&world, "reader", &["viewer"]).await;
    let (ended, other) = (machine.token(&world).await, machine.token(&world).await);
    let grant = claims(&ended)["grant"].as_str().unwrap().to_owned();
    let withdrawn = world.post(&format!("/v1/auth/grants/{grant}/withdraw"), json!({})).await;
    assert_eq!(withdrawn.status, StatusCode::OK, "{withdrawn:?}");
    refused_within_a_second(&world, &ended, &["token_revoked"]).await;
    assert_eq!(Answer::of(reads(&world, &other)).await.status, StatusCode::NOT_FOUND, "another grant goes on");
}
