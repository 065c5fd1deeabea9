//! Custom roles of a tenant: in tokens that name them and for users who have them, while the server runs.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::issuers::{Machine, NO_LEAD};
use crate::users::register;
use crate::websocket::Socket;
use crate::world::{Answer, PROPAGATION, World};

/// The definition of a role that may read leads.
const READS: &[&str] = &["crm:lead:read"];
/// The definition of a role that may write them, too.
const WRITES: &[&str] = &["crm:lead:read", "crm:lead:write"];

async fn define(world: &World, name: &str, permissions: &[&str]) {
    let role = json!({ "name": name, "title": name, "permissions": permissions });
    let defined = world.post("/v1/user/roles", role).await;
    assert_eq!(defined.status, StatusCode::CREATED, "{defined:?}");
}

async fn done(world: &World, path: &str, body: Value) {
    let done = world.post(path, body).await;
    assert_eq!(done.status, StatusCode::OK, "{path}: {done:?}");
}

async fn change(world: &World, name: &str, permissions: &[&str]) {
    let body = json!({ "title": name, "permissions": permissions });
    done(world, &format!("/v1/user/roles/{name}/change"), body).await;
}

/// A user with these roles, in no group.
async fn user(world: &World, name: &str, roles: &[&str]) -> String {
    register(world, name, roles).await.body["id"].as_str().unwrap().to_owned()
}

/// The statuses of what a token may do with leads: read one, write one, query them by GraphQL. (No lead is written: the body has no name.)
async fn may(world: &World, token: &str) -> (u16, u16, Option<String>) {
    let status = async |request: reqwest::RequestBuilder| Answer::of(request.bearer_auth(token)).await.status.as_u16();
    let reads = status(world.anonymous(Method::GET, NO_LEAD)).await;
    let writes = status(world.anonymous(Method::POST, &format!("{NO_LEAD}/start-work")).json(&json!({}))).await;
    let query = json!({ "query": "{ crm { leads(first: 1) { edges { node { id } } } } }" });
    let asked = Answer::of(world.anonymous(Method::POST, "/graphql").bearer_auth(token).json(&query)).await;
    let refused = asked.body["errors"][0]["extensions"]["code"].as_str().or(asked.body["code"].as_str());
    (reads, writes, refused.map(str::to_owned))
}

const MISSING: &str = "permission_missing";

/// The results without permissions, with the one to read, and with both. The requested lead does not exist, so an allowed read gets 404.
fn nothing() -> (u16, u16, Option<String>) {
    (403, 403, Some(MISSING.to_owned()))
}
fn reading() -> (u16, u16, Option<String>) {
    (404, 403, None)
}
fn both() -> (u16, u16, Option<String>) {
    (404, 404, None)
}
fn shut_out() -> (u16, u16, Option<String>) {
    (401, 401, Some("user_inactive".to_owned()))
}

/// Waits until a token gets these statuses, within [`PROPAGATION`].
async fn soon(world: &World, token: &str, expected: (u16, u16, Option<String>)) {
    let mut last = None;
    let waited = tokio::time::timeout(PROPAGATION, async {
        while last.as_ref() != Some(&expected) {
            last = Some(may(world, token).await);
        }
    });
    assert!(waited.await.is_ok(), "expected {expected:?}, still {last:?}");
}

#[tokio::test]
async fn a_tenants_role_gives_what_it_says_and_within_a_second_what_it_says_then() {
    let world = World::start().await;
    define(&world, "reader", READS).await;
    let machine = Machine::register(&world, "importer", &["reader"]).await;
    let token = machine.token(&world).await;
    assert_eq!(may(&world, &token).await, reading());
    change(&world, "reader", WRITES).await;
    soon(&world, &token, both()).await;
    change(&world, "reader", READS).await;
    soon(&world, &token, reading()).await;
    done(&world, "/v1/user/roles/reader/retire", json!({})).await;
    soon(&world, &token, nothing()).await;
}

#[tokio::test]
async fn a_role_that_there_is_not_gives_nothing_until_there_is_one() {
    let world = World::start().await;
    let token = world.token_with(&["reader"]);
    assert_eq!(may(&world, &token).await, nothing());
    define(&world, "reader", READS).await;
    soon(&world, &token, reading()).await;
    // A role that includes another changes with it.
    define(&world, "writer", &["crm:lead:write"]).await;
    let both_roles = json!({ "title": "Reader", "permissions": READS, "includes": ["writer"] });
    done(&world, "/v1/user/roles/reader/change", both_roles).await;
    soon(&world, &token, both()).await;
    change(&world, "writer", &[]).await;
    soon(&world, &token, reading()).await;
}

#[tokio::test]
async fn a_user_may_what_their_roles_and_groups_give_whatever_their_token_says() {
    let world = World::start().await;
    define(&world, "reader", READS).await;
    define(&world, "writer", WRITES).await;
    let ada = user(&world, "ada", &["reader"]).await;
    let token = world.token_of_user(&ada);
    assert_eq!(may(&world, &token).await, reading());
    let group = world.post("/v1/user/groups", json!({ "name": "Sales", "roles": ["writer"] })).await;
    let group = group.body["id"].as_str().unwrap();
    done(&world, &format!("/v1/user/groups/{group}/change-members"), json!({ "join": [ada] })).await;
    soon(&world, &token, both()).await;
    done(&world, &format!("/v1/user/groups/{group}/revoke-role"), json!({ "role": "writer" })).await;
    soon(&world, &token, reading()).await;
    done(&world, &format!("/v1/user/users/{ada}/grant-role"), json!({ "role": "writer" })).await;
    soon(&world, &token, both()).await;
    done(&world, &format!("/v1/user/users/{ada}/revoke-role"), json!({ "role": "writer" })).await;
    done(&world, &format!("/v1/user/users/{ada}/revoke-role"), json!({ "role": "reader" })).await;
    soon(&world, &token, nothing()).await;
}

#[tokio::test]
async fn what_can_not_be_the_name_of_a_role_is_revoked_from_nobody() {
    let world = World::start().await;
    let ada = user(&world, "ada", &["viewer"]).await;
    let group = world.post("/v1/user/groups", json!({ "name": "Sales", "roles": ["viewer"] })).await;
    let group = group.body["id"].as_str().unwrap();
    let mut cases = Vec::new();
    for path in [format!("/v1/user/users/{ada}/revoke-role"), format!("/v1/user/groups/{group}/revoke-role")] {
        for role in ["", "Viewer", "viewer ", "a\u{202e}b"] {
            let request = world.request(Method::POST, &path).json(&json!({ "role": role }));
            cases.push((request, StatusCode::BAD_REQUEST, "validation_failed"));
        }
        // It may be one, but nobody has it.
        done(&world, &path, json!({ "role": "sales" })).await;
    }
    world.refuses(cases).await;
}

#[tokio::test]
async fn attack_55_a_token_of_somebody_who_may_not_sign_in_any_more_opens_nothing_within_a_second() {
    let world = World::start().await;
    let ada = user(&world, "ada", &["viewer"]).await;
    let token = world.token_of_user(&ada);
    let ways = [
        ("lock", json!({ "reason": "phished" }), Some("unlock")),
        ("deactivate", json!({ "reason": "on leave" }), Some("reactivate")),
        ("remove", json!({}), None),
    ];
    for (out, body, back) in ways {
        assert_eq!(may(&world, &token).await, reading(), "before {out}");
        let mut socket = Socket::open(&world).await;
        socket.init(&token).await;
        done(&world, &format!("/v1/user/users/{ada}/{out}"), body).await;
        soon(&world, &token, shut_out()).await;
        assert_eq!(socket.hear().await, json!({ "closed": 4403 }), "{out}");
        if let Some(back) = back {
            done(&world, &format!("/v1/user/users/{ada}/{back}"), json!({})).await;
            soon(&world, &token, reading()).await;
        }
    }
}

#[tokio::test]
async fn attack_56_another_tenants_role_of_the_same_name_gives_nothing() {
    let world = World::start().await;
    define(&world, "reader", READS).await;
    assert_eq!(may(&world, &world.token_with(&["reader"])).await, reading());
    let elsewhere =
        gateway::auth::mint(&world.config.auth, testbed::tenant(), "eve", &["reader"], Duration::from_mins(1));
    assert_eq!(may(&world, &elsewhere.unwrap()).await, nothing());
}
