//! Denials of authenticated callers, in whichever process and form, are recorded beside refused sign-ins.

use futures::StreamExt;
use kernel::Role;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testbed::eventually;

use crate::websocket::Socket;
use crate::world::{Answer, World};

/// The recorded denials, oldest first, once there are this many.
async fn are_recorded(world: &World, count: usize) -> Vec<Value> {
    let fields = "subject reason permission operation requestId times address agent origin";
    let query = format!("{{ auth {{ deniedAccesses(first: 100) {{ nodes {{ {fields} }} }} }} }}");
    let mut found = eventually("denials are on record", async || {
        let answer = world.post("/graphql", json!({ "query": query })).await;
        let found =
            answer.body["data"]["auth"]["deniedAccesses"]["nodes"].as_array().unwrap_or_else(|| panic!("{answer:?}"));
        (found.len() >= count).then(|| found.clone())
    })
    .await;
    found.reverse();
    found
}

fn writes(world: &World, token: &str) -> reqwest::RequestBuilder {
    world.anonymous(Method::POST, "/v1/crm/leads").bearer_auth(token).json(&json!({ "name": "Eve" }))
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_117_who_writes_without_end_what_they_may_not_leaves_one_record_that_counts() {
    let mut world = World::unlimited().await;
    let viewer = world.token_of("eve", &[Role::Viewer]);
    // Creates the tenant's keys, so that only later events are counted.
    let jwks = Answer::of(world.anonymous(Method::GET, "/t/acme/jwks")).await;
    assert_eq!(jwks.status, StatusCode::OK, "{jwks:?}");
    let (heads, auth) = (world.head().await, world.head_of_all(&world.auth).await);
    let refused = futures::stream::iter(0..1_000)
        .map(|_| async {
            let answer = Answer::of(writes(&world, &viewer)).await;
            (answer.status, answer.code().to_owned(), answer.header("x-request-id").to_owned())
        })
        .buffer_unordered(20)
        .collect::<Vec<_>>()
        .await;
    for (status, code, _) in &refused {
        assert_eq!((*status, code.as_str()), (StatusCode::FORBIDDEN, "permission_missing"));
    }
    let record = are_recorded(&world, 1).await.remove(0);
    assert_eq!((&record["subject"], &record["permission"]), (&json!("eve"), &json!("crm:lead:write")), "{record}");
    assert_eq!(record["operation"], "POST /v1/crm/leads");
    let request = record["requestId"].as_str().unwrap();
    assert!(refused.iter().any(|(.., id)| id == request), "it is one of the requests: {record}");
    assert_eq!((&record["address"], record["origin"].as_str().map(str::len)), (&Value::Null, Some(32)), "{record}");
    // A shutdown writes the denials that were only counted so far.
    world.restart(|_| {}).await;
    eventually("all are counted", async || (are_recorded(&world, 1).await[0]["times"] == 1_000).then_some(())).await;
    assert_eq!(are_recorded(&world, 1).await.len(), 1);
    assert_eq!(world.head().await, heads, "something was written");
    let written = world.head_of_all(&world.auth).await - auth;
    assert!(written <= 4, "{written} events of 1,000 denials");
}

#[tokio::test(flavor = "multi_thread")]
async fn denials_are_on_record_in_whichever_form_they_are_told() {
    let world = World::start().await;
    let viewer = world.token_of("eve", &[Role::Viewer]);
    let head = world.head().await;
    // By GraphQL, over HTTP and WebSocket: the field's name in the schema, once, even if it is queried several times.
    let query = "{ auth { mine: sessions(userId: \"0197a8a0-0000-7000-8000-000000000001\") { totalCount } \
                 more: sessions(userId: \"0197a8a0-0000-7000-8000-000000000002\") { totalCount } } }";
    let asked = world.anonymous(Method::POST, "/graphql").bearer_auth(&viewer).json(&json!({ "query": query }));
    let answer = Answer::of(asked).await;
    assert_eq!(answer.body["errors"][0]["extensions"]["code"], "permission_missing", "{answer:?}");
    let first = are_recorded(&world, 1).await;
    assert_eq!(
        (&first[0]["operation"], &first[0]["permission"], &first[0]["times"]),
        (&json!("graphql sessions"), &json!("auth:history:read"), &json!(1))
    );
    let mut socket = Socket::bearing(&world, &viewer).await;
    let payload = json!({ "query": "{ auth { machines { nodes { id } } } }" });
    socket.say(json!({ "id": "1", "type": "subscribe", "payload": payload })).await;
    let heard = socket.hear().await;
    assert!(heard.to_string().contains("permission_missing"), "{heard}");
    assert_eq!(are_recorded(&world, 2).await[1]["operation"], "graphql machines");
    // By SCIM.
    let users = world.anonymous(Method::GET, "/scim/v2/Users").bearer_auth(world.token_of("eve", &[]));
    assert_eq!(Answer::of(users).await.status, StatusCode::FORBIDDEN);
    assert_eq!(are_recorded(&world, 3).await[2]["operation"], "GET /scim/v2/Users");
    // Another tenant than the token's: the denial is recorded for the caller, without the other tenant.
    let meant = writes(&world, &world.token_of("mallory", &[Role::Admin]));
    let answer = Answer::of(meant.header("x-tenant-id", testbed::tenant().to_string())).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::FORBIDDEN, "tenant_differs"));
    let found = are_recorded(&world, 4).await;
    assert_eq!((&found[3]["subject"], &found[3]["reason"]), (&json!("mallory"), &json!("tenant_differs")));
    // Granting more permissions than the caller has: the excess is recorded.
    let role = json!({ "name": "helper", "title": "Helper", "permissions": ["user:user:read", "user:user:write"] });
    let define = world.anonymous(Method::POST, "/v1/user/roles").bearer_auth(world.token_of("mia", &[Role::Manager]));
    let answer = Answer::of(define.json(&role)).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN, "{answer:?}");
    assert_eq!(are_recorded(&world, 5).await[4]["reason"], answer.code());
    // Other refusals are not recorded as denials, nor are allowed requests.
    assert_eq!(Answer::of(writes(&world, "nonsense")).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(world.get("/v1/crm/leads/0197a8a0-0000-7000-8000-000000000001").await.status, StatusCode::NOT_FOUND);
    assert_eq!(are_recorded(&world, 5).await.len(), 5);
    assert_eq!(world.head().await, head, "something was written");
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_223_who_subscribes_to_what_they_may_not_see_is_on_record() {
    let world = World::start().await;
    let head = world.head().await;
    let mut socket = Socket::bearing(&world, &world.token_of("sue", &[])).await;
    for (number, id) in ["1", "2"].into_iter().enumerate() {
        let payload = json!({ "query": "subscription { crm { leadChanged { change } } }" });
        socket.say(json!({ "id": id, "type": "subscribe", "payload": payload })).await;
        let heard = socket.hear().await;
        assert_eq!(heard["payload"]["errors"][0]["extensions"]["permission"], "crm:lead:read", "{heard}");
        assert_eq!(socket.hear().await, json!({ "id": id, "type": "complete" }));
        let record = are_recorded(&world, 1).await.remove(0);
        assert_eq!(
            (&record["subject"], &record["permission"], &record["operation"]),
            (&json!("sue"), &json!("crm:lead:read"), &json!("graphql crm")),
            "{number}: {record}"
        );
    }
    assert_eq!(are_recorded(&world, 1).await.len(), 1);
    assert_eq!(world.head().await, head, "something was written");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_service_in_another_process_denies_is_on_record_with_from_where_it_was_asked() {
    let proxies = |config: &mut gateway::Config| config.http.trusted_proxies = vec!["127.0.0.1".to_owned()];
    let mut world = World::apart_with(crm_api::SERVICE, proxies).await;
    let registered = json!({ "name": "Eve", "email": "eve@example.com", "roles": ["viewer"] });
    let registered = world.post("/v1/user/users", registered).await;
    let eve = registered.body["id"].as_str().unwrap_or_else(|| panic!("{registered:?}")).to_owned();
    // Creates their account.
    let linked = world.post(&format!("/v1/auth/users/{eve}/send-password-link"), json!({})).await;
    assert_eq!(linked.status, StatusCode::OK, "{linked:?}");
    let head = world.head_of_all(&world.database).await;
    let token = world.token_of_user(&eve);
    for _ in 0..3 {
        let forged = writes(&world, &token).header("x-inopsio-seen-from", "198.51.100.1 00");
        let answer = Answer::of(forged.header("x-forwarded-for", "203.0.113.9").header("user-agent", "probe/1")).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::FORBIDDEN, "permission_missing"), "{answer:?}");
    }
    let record = are_recorded(&world, 1).await.remove(0);
    assert_eq!((&record["subject"], &record["operation"]), (&json!(eve), &json!("POST /v1/crm/leads")), "{record}");
    assert_eq!((&record["address"], &record["agent"]), (&json!("203.0.113.9"), &json!("probe/1")), "{record}");
    world.behind.take().unwrap().shutdown().await;
    eventually("all are counted", async || (are_recorded(&world, 1).await[0]["times"] == 3).then_some(())).await;
    assert_eq!(are_recorded(&world, 1).await.len(), 1, "the gateway noted it once more");
    assert_eq!(world.head_of_all(&world.database).await, head, "the service's own log grew");
    // The record belongs to the person: it is in their export, and erased with them.
    let export = world.anonymous(Method::GET, "/v1/user/me/export").bearer_auth(&token);
    let known = Answer::of(export).await.body["signing_in"]["denied"].take();
    assert_eq!((&known[0]["address"], &known[0]["permission"]), (&json!("203.0.113.9"), &json!("crm:lead:write")));
    let erased = world.post(&format!("/v1/user/users/{eve}/erase"), json!({})).await;
    assert_eq!(erased.status, StatusCode::OK, "{erased:?}");
    eventually("it is forgotten from where", async || {
        let record = are_recorded(&world, 1).await.remove(0);
        (record["address"] == Value::Null && record["agent"] == Value::Null).then_some(())
    })
    .await;
}
