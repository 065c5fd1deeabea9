//! SCIM 2.0: duplicate members and attributes are refused, not resolved to one of the two.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::scim::Provider;
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
