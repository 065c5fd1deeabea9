//! Requests for more than the contract allows: members of a body that it does not define, and a tenant other than the token's.

use std::collections::BTreeMap;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::authentication::walked;
use crate::needs::{ID, OPERATIONS};
use crate::world::{Answer, World};

/// Members that clients must not set: they come from the token or from the log.
const OURS: [&str; 12] = [
    "tenant_id",
    "tenant",
    "tenantId",
    "roles",
    "permissions",
    "id",
    "version",
    "status",
    "created_at",
    "recorded_at",
    "email_verified",
    "__proto__",
];

/// The body schema of an operation.
pub fn schema_of<'c>(contract: &'c Value, operation: &'c Value) -> &'c Value {
    let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
    match schema["$ref"].as_str() {
        Some(reference) => contract.pointer(reference.trim_start_matches('#')).unwrap(),
        None => schema,
    }
}

#[tokio::test]
async fn attack_93_no_command_takes_a_member_that_its_contract_does_not_name() {
    let world = World::unlimited().await;
    let contract = world.get("/openapi.json").await.body;
    let bodies: BTreeMap<&str, &str> = OPERATIONS.iter().map(|(id, _, body)| (*id, *body)).collect();
    let before = (world.head().await, world.head_of(world.of("user")).await, world.head_of(world.of("auth")).await);
    let mut commands = 0;
    for (pattern, operations) in contract["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap().iter().filter(|(method, _)| *method != "parameters")
        {
            if operation["requestBody"]["content"].get("application/json").is_none() {
                continue;
            }
            let id = operation["operationId"].as_str().unwrap();
            let named = &schema_of(&contract, operation)["properties"];
            let body: Value = serde_json::from_str(bodies[id]).unwrap();
            for ours in OURS.into_iter().filter(|ours| named.get(ours).is_none()) {
                // In the first place, because a parser might take the last of two members.
                let mut said = serde_json::Map::from_iter([(ours.to_owned(), json!(ID))]);
                said.extend(body.as_object().unwrap().clone());
                let request = world.request(method.to_uppercase().parse().unwrap(), &walked(pattern)).json(&said);
                let answer = Answer::of(request).await;
                let error = &answer.body["errors"][0];
                assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{id} took {ours}: {answer:?}");
                assert_eq!(
                    (&error["code"], &error["pointer"]),
                    (&json!("unknown_field"), &json!(format!("/{ours}"))),
                    "{id} with {ours}: {answer:?}"
                );
            }
            commands += 1;
        }
    }
    assert!(commands > 80, "{commands} commands");
    let after = (world.head().await, world.head_of(world.of("user")).await, world.head_of(world.of("auth")).await);
    assert_eq!(after, before, "something was written");
}

#[tokio::test]
async fn attack_91_a_tenant_in_header_or_path_that_is_not_the_tokens() {
    let world = World::unlimited().await;
    let other = testbed::tenant().to_string();
    let contract = world.get("/openapi.json").await.body;
    let mut cases = Vec::new();
    for (pattern, operations) in contract["paths"].as_object().unwrap() {
        if crate::authentication::PUBLIC.contains(&pattern.as_str()) {
            continue;
        }
        for method in operations.as_object().unwrap().keys().filter(|method| *method != "parameters") {
            let request = world.request(method.to_uppercase().parse().unwrap(), &walked(pattern));
            cases.push((request.header("x-tenant-id", &other), StatusCode::FORBIDDEN, "tenant_differs"));
        }
    }
    assert!(cases.len() > 100, "{} operations", cases.len());
    let query = || world.request(Method::POST, "/graphql").json(&json!({ "query": "{ __typename }" }));
    let differs = |request: reqwest::RequestBuilder| (request, StatusCode::FORBIDDEN, "tenant_differs");
    cases.push(differs(query().header("x-tenant-id", &other)));
    // A value that is not an id, and two values of which one is wrong.
    cases.push(differs(query().header("x-tenant-id", "acme")));
    cases.push(differs(query().header("x-tenant-id", world.tenant.to_string()).header("x-tenant-id", &other)));
    world.refuses(cases).await;
    let users = world.request(Method::GET, "/scim/v2/Users").header("x-tenant-id", &other);
    assert_eq!(users.send().await.unwrap().status(), StatusCode::FORBIDDEN);
    let right = query().header("x-tenant-id", world.tenant.to_string());
    assert_eq!(Answer::of(right).await.status, StatusCode::OK, "who says what the token says");
    // At the issuer, too, whose path contains the tenant.
    for (method, path) in
        [(Method::GET, "userinfo"), (Method::GET, "authorize"), (Method::GET, "jwks"), (Method::POST, "token")]
    {
        let request = world.anonymous(method, &format!("/t/acme/{path}")).header("x-tenant-id", &other);
        let answer = Answer::of(request).await;
        assert_eq!((answer.status, &answer.body["error"]), (StatusCode::FORBIDDEN, &json!("tenant_differs")), "{path}");
    }
    // Another tenant's issuer reveals nothing about a token of this tenant, and does not revoke it.
    let issuer = crate::issuers::Machine::register(&world, "m", &["viewer"]).await;
    let token = issuer.token(&world).await;
    let directory = directory::Directory::open(&world.config);
    let slug = format!("other-{}", &other[28..]);
    directory.create(&slug, "Other", &kernel::SystemClock, &kernel::SystemIds).await.unwrap();
    let at_other = |path: &str| format!("/t/{slug}/{path}");
    let userinfo = Answer::of(world.anonymous(Method::GET, &at_other("userinfo")).bearer_auth(&token)).await;
    assert_eq!((userinfo.status, &userinfo.body["error"]), (StatusCode::UNAUTHORIZED, &json!("invalid_token")));
    for path in ["introspect", "revoke", "token"] {
        let request = world.anonymous(Method::POST, &at_other(path)).basic_auth(&issuer.id, Some(&issuer.secret));
        let asked = crate::world::Form::form(request, &[("token", &token), ("grant_type", "client_credentials")]);
        let answer = Answer::of(asked).await;
        assert_eq!(
            (answer.status, &answer.body["error"]),
            (StatusCode::UNAUTHORIZED, &json!("invalid_client")),
            "{path}"
        );
    }
    let good =
        world.anonymous(Method::POST, "/graphql").bearer_auth(&token).json(&json!({ "query": "{ __typename }" }));
    assert_eq!(Answer::of(good).await.status, StatusCode::OK, "it holds still");
}
