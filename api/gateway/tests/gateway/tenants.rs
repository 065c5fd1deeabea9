//! Tenants: another's things are as unknown as things that never were.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::world::{Answer, World};

#[tokio::test]
async fn another_tenants_ids_get_the_very_answer_of_unknown_ones() {
    let world = World::start().await;
    let lead = world.lead("Ada").await;
    let unknown = Uuid::from_u128(0x0197_a8a0_0000_7000_8000_0000_0000_0001).to_string();
    let before = world.head().await;
    for (method, verb, body) in [
        (Method::GET, "", Value::Null),
        (Method::POST, "/assign", json!({ "owner": "eve" })),
        (Method::POST, "/start-work", json!({})),
        (Method::POST, "/change-details", json!({ "name": "Eve" })),
        (Method::POST, "/convert", json!({})),
    ] {
        let ask = async |id: &str| {
            let request =
                world.anonymous(method.clone(), &format!("/v1/crm/leads/{id}{verb}")).bearer_auth(world.stranger());
            let mut answer = Answer::of(if body.is_null() { request } else { request.json(&body) }).await;
            answer.assert_problem();
            // What may differ: the request's own id, and the id that was asked for.
            answer.body["instance"] = Value::Null;
            answer.body["detail"] = answer.body["detail"].as_str().unwrap().replace(id, "<id>").into();
            answer
        };
        let (theirs, nobodys) = (ask(&lead).await, ask(&unknown).await);
        assert_eq!(theirs.status, StatusCode::NOT_FOUND, "{theirs:?}");
        assert_eq!((theirs.status, &theirs.body), (nobodys.status, &nobodys.body), "{verb}");
    }
    assert_eq!(world.head().await, before);
}

#[tokio::test]
async fn the_same_idempotency_key_of_two_tenants_is_two_keys() {
    let world = World::start().await;
    let capture = |token: String| {
        world
            .anonymous(Method::POST, "/v1/crm/leads")
            .bearer_auth(token)
            .header("idempotency-key", "same")
            .json(&json!({ "name": "Ada" }))
    };
    let ours = Answer::of(capture(world.token(&[kernel::Role::Admin]))).await;
    let theirs = Answer::of(capture(world.stranger())).await;
    assert_eq!((ours.status, theirs.status), (StatusCode::CREATED, StatusCode::CREATED));
    assert_ne!(ours.body["id"], theirs.body["id"]);
}

#[tokio::test]
async fn a_body_that_names_another_tenants_things_gets_the_very_answer_of_unknown_ones() {
    let world = World::start().await;
    let account = world.post("/v1/crm/accounts", json!({ "name": "Acme" })).await;
    let theirs = account.body["id"].as_str().unwrap();
    let unknown = "0197a8a0-0000-7000-8000-000000000001";
    let before = world.head().await;
    let ask = async |id: &str| {
        let request = world.anonymous(Method::POST, "/v1/crm/contacts").bearer_auth(world.stranger());
        let mut answer = Answer::of(request.json(&json!({ "name": "Eve", "account": id }))).await;
        answer.assert_problem();
        answer.body["instance"] = Value::Null;
        answer.body["errors"][0]["detail"] =
            answer.body["errors"][0]["detail"].as_str().unwrap().replace(id, "<id>").into();
        answer
    };
    let (theirs, nobodys) = (ask(theirs).await, ask(unknown).await);
    assert_eq!((theirs.status, theirs.code()), (StatusCode::UNPROCESSABLE_ENTITY, "reference_unknown"), "{theirs:?}");
    assert_eq!(theirs.body["errors"][0]["pointer"], "/account", "{theirs:?}");
    assert_eq!((theirs.status, &theirs.body), (nobodys.status, &nobodys.body));
    assert_eq!(world.head().await, before);
}
