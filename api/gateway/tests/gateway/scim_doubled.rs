//! SCIM 2.0: bodies that mean two things, or something else than what they are sent for, are refused.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::scim::{GROUP, Provider, USER};
use crate::world::{Answer, World};

#[tokio::test]
async fn attack_151_an_attribute_or_a_parameter_that_is_there_twice_in_a_provisioning_request() {
    let world = World::start().await;
    let provider = Provider::of(&world).await;
    let ada = provider.create(json!({ "userName": "ada@example.com" })).await;
    let path = format!("/Users/{}", ada["id"].as_str().unwrap());
    let before = world.head().await;
    for (method, path, body) in [
        (Method::POST, "/Users", r#"{"userName":"eve@example.com","userName":"root@example.com"}"#),
        (Method::POST, "/Users", r#"{"userName":"eve@example.com","USERNAME":"root@example.com"}"#),
        (Method::PUT, path.as_str(), r#"{"userName":"ada@example.com","active":true,"active":false}"#),
        (
            Method::PATCH,
            path.as_str(),
            r#"{"Operations":[{"op":"replace","path":"title","path":"active","value":false}]}"#,
        ),
        (Method::PATCH, path.as_str(), r#"{"Operations":[{"op":"replace","value":{"active":true,"Active":false}}]}"#),
        (Method::POST, "/Groups", r#"{"displayName":"Lunch","displayName":"Owners"}"#),
        (Method::POST, "/Users/.search", r#"{"filter":"id pr","filter":"title pr"}"#),
    ] {
        let request = provider.request(method, path, &Value::Null).header("content-type", "application/scim+json");
        let answer = Answer::of(request.body(body)).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}: {answer:?}");
        assert_eq!(answer.body["scimType"], "invalidSyntax", "{body}: {answer:?}");
        assert!(!answer.body.to_string().contains("example.com"), "{body}: {answer:?}");
    }
    for query in ["filter=id%20pr&filter=title%20pr", "count=1&COUNT=2", "attributes=id&attributes=title"] {
        let (path, wrong) = (format!("/Users?{query}"), Some("invalidValue"));
        provider.refused(Method::GET, &path, Value::Null, StatusCode::BAD_REQUEST, wrong).await;
    }
    assert_eq!(world.head().await, before, "something was written");
    assert_eq!(provider.get(&path).await.body["active"], true);
}

#[tokio::test]
async fn what_is_said_to_be_something_else_is_refused_and_what_is_more_than_we_know_is_not() {
    let world = World::start().await;
    let provider = Provider::of(&world).await;
    let enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
    let message = |name: &str| format!("urn:ietf:params:scim:api:messages:2.0:{name}");
    let user = |schemas: Value| json!({ "schemas": schemas, "userName": "ada@example.com" });
    let ada = provider.create(user(json!([enterprise, USER.to_uppercase()]))).await;
    let ada = format!("/Users/{}", ada["id"].as_str().unwrap());
    let group = |schemas: Value| json!({ "schemas": schemas, "displayName": "Sales" });
    // As Entra ID sends it.
    let entra = json!([GROUP, "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"]);
    let made = provider.ask(Method::POST, "/Groups", group(entra)).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let sales = format!("/Groups/{}", made.body["id"].as_str().unwrap());
    let change = |schemas: Value| json!({ "schemas": schemas, "Operations": [{ "op": "replace", "path": "externalId", "value": "7" }] });
    let search = |schemas: Value| json!({ "schemas": schemas, "filter": "id pr" });
    for (method, path, body) in [
        (Method::POST, "/Users", user(json!([GROUP]))),
        (Method::POST, "/Users", user(json!(["urn:scim:schemas:core:1.0"]))),
        (Method::POST, "/Users", user(json!(USER))),
        (Method::PUT, &*ada, user(json!([enterprise]))),
        (Method::PATCH, &*ada, change(json!([USER]))),
        (Method::POST, "/Groups", group(json!([USER]))),
        (Method::PUT, &*sales, group(json!([7]))),
        (Method::PATCH, &*sales, change(json!([message("BulkRequest")]))),
        (Method::POST, "/.search", search(json!([message("ListResponse")]))),
    ] {
        provider.refused(method, path, body, StatusCode::BAD_REQUEST, Some("invalidSyntax")).await;
    }
    for schemas in [json!(null), json!([]), json!([message("patchop")])] {
        let changed = provider.ask(Method::PATCH, &ada, change(schemas)).await;
        assert_eq!(changed.status, StatusCode::OK, "{changed:?}");
    }
}
