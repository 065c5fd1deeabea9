//! Evaluates a policy change against the history in the logs of all services.

use kernel::{Clock, Role, SystemClock};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::issuers::Machine;
use crate::world::{Answer, World};

async fn made(world: &World, path: &str, body: Value) -> Answer {
    let made = world.post(path, body).await;
    assert!(made.status.is_success(), "{path}: {made:?}");
    made
}

async fn user(world: &World, name: &str, roles: &[&str]) -> String {
    let body = json!({ "name": name, "email": format!("{name}@example.com"), "roles": roles });
    made(world, "/v1/user/users", body).await.body["id"].as_str().unwrap().to_owned()
}

async fn captures(world: &World, token: &str, name: &str) -> String {
    let request = world.anonymous(Method::POST, "/v1/crm/leads").bearer_auth(token).json(&json!({ "name": name }));
    let made = Answer::of(request).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    made.body["id"].as_str().unwrap().to_owned()
}

const QUERY: &str = "query ($change: PolicyChange!, $from: DateTime, $to: DateTime, $first: Int, $after: String) {
    user { policyDryRun(change: $change, from: $from, to: $to, first: $first, after: $after) {
        services refused { subject user { name } permission commands firstAt lastAt events { event commands } }
        examined otherwise unrecorded endCursor
    } } }";

/// Queries with these variables.
fn question(world: &World, token: &str, variables: &Value) -> reqwest::RequestBuilder {
    let request = world.anonymous(Method::POST, "/graphql").bearer_auth(token);
    request.json(&json!({ "query": QUERY, "variables": variables }))
}

/// Queries with these variables, once the read models have reached the ends of the logs of users and machines.
async fn ask(world: &World, variables: Value) -> Value {
    let (user, auth) = (world.head_of_all(world.of("user")).await, world.head_of_all(&world.auth).await);
    let position = format!("user={user},auth={auth}");
    let request = question(world, &world.token(&[Role::Auditor]), &variables).header("x-min-position", position);
    let mut answer = Answer::of(request).await;
    assert_eq!(answer.body["errors"], Value::Null, "{variables}: {answer:?}");
    answer.body["data"]["user"]["policyDryRun"].take()
}

/// Who would have been refused, by the subject's id, and how often.
async fn refused(world: &World, change: Value) -> Vec<(String, i64)> {
    let found = ask(world, json!({ "change": change })).await;
    assert_eq!(found["endCursor"], Value::Null, "{found}");
    tallied(&found)
}

fn tallied(found: &Value) -> Vec<(String, i64)> {
    let told = found["refused"].as_array().unwrap().iter();
    told.map(|one| (one["subject"].as_str().unwrap().to_owned(), one["commands"].as_i64().unwrap())).collect()
}

const WRITES: [&str; 2] = ["crm:lead:read", "crm:lead:write"];

/// Sellers of all kinds, each with leads that they captured (a user with two leads, a machine, one by a group, a former seller), and a
/// member who is not a seller.
struct Sales {
    ada: String,
    machine: String,
    group: String,
    carol: String,
    dave: String,
}

async fn sales(world: &World) -> Sales {
    made(world, "/v1/user/roles", json!({ "name": "seller", "title": "Seller", "permissions": WRITES })).await;
    let ada = user(world, "ada", &["seller"]).await;
    let bob = user(world, "bob", &["member"]).await;
    let (carol, dave) = (user(world, "carol", &[]).await, user(world, "dave", &["seller"]).await);
    let group = made(world, "/v1/user/groups", json!({ "name": "Sales", "roles": ["seller"] })).await;
    let group = group.body["id"].as_str().unwrap().to_owned();
    made(world, &format!("/v1/user/groups/{group}/change-members"), json!({ "join": [carol] })).await;
    let importer = Machine::register(world, "importer", &["seller"]).await;
    let (_, key) = importer.api_key(world, json!({})).await;
    captures(world, &world.token_of_user(&ada), "one").await;
    captures(world, &key, "two").await;
    captures(world, &world.token_of_user(&carol), "three").await;
    captures(world, &world.token_of_user(&dave), "four").await;
    made(world, &format!("/v1/user/users/{dave}/grant-role"), json!({ "role": "member" })).await;
    made(world, &format!("/v1/user/users/{dave}/revoke-role"), json!({ "role": "seller" })).await;
    captures(world, &world.token_of_user(&dave), "five").await;
    captures(world, &world.token_of_user(&bob), "six").await;
    captures(world, &world.token_of_user(&ada), "seven").await;
    Sales { ada, machine: importer.id, group, carol, dave }
}

#[tokio::test]
async fn a_role_that_allowed_less_would_have_refused_whoever_did_it_by_that_role_then() {
    let world = World::start().await;
    let Sales { ada, machine, group, carol, dave } = sales(&world).await;
    let before = world.head().await;
    let reads = json!({ "roles": [{ "name": "seller", "permissions": ["crm:lead:read"] }] });
    let found = ask(&world, json!({ "change": reads })).await;
    let expected = [(ada.clone(), 2), (machine, 1), (carol.clone(), 1), (dave.clone(), 1)];
    assert_eq!(tallied(&found), expected, "dave's second lead was a member's: {found}");
    let first = &found["refused"][0];
    assert_eq!((first["permission"].as_str(), first["user"]["name"].as_str()), (Some("crm:lead:write"), Some("ada")));
    assert_eq!(first["events"], json!([{ "event": "crm.lead.captured", "commands": 2 }]));
    assert!(first["firstAt"].as_str() < first["lastAt"].as_str(), "{first}");
    assert_eq!(found["refused"][1]["user"], Value::Null, "a machine");
    assert_eq!(found["unrecorded"], 0, "all of it was written with what it needed: {found}");
    assert!(found["examined"].as_i64() > found["otherwise"].as_i64(), "{found}");
    assert!(
        found["otherwise"].as_i64() > Some(0),
        "what the installation's key did rests on no role of these: {found}"
    );

    let one = |name: &str| vec![(name.to_owned(), 1)];
    let retired = json!({ "roles": [{ "name": "seller", "retired": true }] });
    assert_eq!(refused(&world, retired).await.len(), 4);
    let by_another = json!({ "roles": [{ "name": "seller", "includes": ["member"] }] });
    assert_eq!(refused(&world, by_another).await, [], "what it includes allows it");
    let new = json!({ "roles": [
        { "name": "seller", "includes": ["writer"] }, { "name": "writer", "permissions": ["crm:lead:write"] }
    ] });
    assert_eq!(refused(&world, new).await, [], "by a role that is new, too");
    let no_roles = json!({ "groups": [{ "id": group, "roles": [] }] });
    assert_eq!(refused(&world, no_roles).await, one(&carol), "by her group");
    let viewer = json!({ "subjects": [{ "id": ada, "roles": ["viewer"] }, { "id": dave, "roles": ["member"] }] });
    assert_eq!(refused(&world, viewer).await, [(ada, 2)], "by her own roles");
    assert_eq!(refused(&world, json!({})).await, []);
    assert_eq!(world.head().await, before, "a question writes nothing");
}

#[tokio::test]
async fn pages_and_stretches_of_time_add_up() {
    let world = World::start().await;
    sales(&world).await;
    let change = json!({ "roles": [{ "name": "seller", "permissions": ["crm:lead:read"] }] });
    // A fixed end, because some events are appended asynchronously while the pages are read.
    let now = SystemClock.now();
    let whole = ask(&world, json!({ "change": change, "to": now })).await;
    let (mut pages, mut after, mut examined) = (0, Value::Null, 0);
    let mut told = Vec::new();
    loop {
        let page = ask(&world, json!({ "change": change, "to": now, "first": 1, "after": after })).await;
        told.extend(tallied(&page));
        examined += page["examined"].as_i64().unwrap();
        after = page["endCursor"].clone();
        pages += 1;
        assert!(pages < 20, "the pages do not end");
        if after == Value::Null {
            break;
        }
    }
    assert_eq!(told.iter().map(|(_, commands)| commands).sum::<i64>(), 5, "{told:?}");
    assert_eq!(examined, whole["examined"].as_i64().unwrap());
    let (first, last) = (whole["refused"][0]["firstAt"].clone(), whole["refused"][0]["lastAt"].clone());
    let some = ask(&world, json!({ "change": change, "from": first, "to": last })).await;
    assert_eq!(tallied(&some).iter().map(|(_, commands)| commands).sum::<i64>(), 4, "without the last one: {some}");
    let none =
        ask(&world, json!({ "change": change, "from": "2020-01-01T00:00:00Z", "to": "2020-02-01T00:00:00Z" })).await;
    assert_eq!((&none["examined"], &none["refused"]), (&json!(0), &json!([])));
}

#[tokio::test]
async fn a_change_that_could_not_be_made_is_refused_and_another_tenants_history_is_not_looked_at() {
    let world = World::start().await;
    let Sales { ada, .. } = sales(&world).await;
    let nobody = "0197a8a0-0000-7000-8000-000000000001";
    let role = |body: Value| json!({ "change": { "roles": [body] } });
    // Waits until the read models know all of them.
    ask(&world, json!({ "change": {} })).await;
    let before = world.head().await;
    for (variables, code) in [
        (role(json!({ "name": "admin" })), "built_in"),
        (role(json!({ "name": "Seller" })), "not_a_role_name"),
        (role(json!({ "name": "seller", "permissions": ["crm:lead:fly"] })), "permission_unknown"),
        (role(json!({ "name": "seller", "permissions": ["user:user:admit"] })), "permission_unknown"),
        (role(json!({ "name": "seller", "includes": ["nobody"] })), "role_unknown"),
        (role(json!({ "name": "seller", "includes": ["seller"] })), "circular"),
        (
            json!({ "change": { "roles": [{ "name": "a_a", "includes": ["b_b"] }, { "name": "b_b", "includes": ["a_a"] }] } }),
            "circular",
        ),
        (json!({ "change": { "roles": [{ "name": "seller" }, { "name": "seller" }] } }), "named_twice"),
        (json!({ "change": { "subjects": vec![json!({ "id": ada, "roles": [] }); 2] } }), "named_twice"),
        (json!({ "change": { "roles": vec![json!({ "name": "seller" }); 101] } }), "too_many"),
        (json!({ "change": { "groups": [{ "id": nobody, "roles": [] }] } }), "not_found"),
        (json!({ "change": { "subjects": [{ "id": nobody, "roles": [] }] } }), "not_found"),
        (json!({ "change": { "subjects": [{ "id": ada, "roles": ["nobody"] }] } }), "role_unknown"),
        (json!({ "change": {}, "from": "2026-02-01T00:00:00Z", "to": "2026-01-01T00:00:00Z" }), "time_backwards"),
        (json!({ "change": {}, "after": "nonsense" }), "cursor_invalid"),
        (json!({ "change": {}, "first": 0 }), "page_size"),
    ] {
        let answer = Answer::of(question(&world, &world.token(&[Role::Admin]), &variables)).await;
        assert_eq!(answer.body["errors"][0]["extensions"]["code"], code, "{variables}: {answer:?}");
    }
    let member = Answer::of(question(&world, &world.token(&[Role::Member]), &json!({ "change": {} }))).await;
    assert_eq!(member.body["errors"][0]["extensions"]["code"], "permission_missing", "{member:?}");
    assert_eq!(world.head().await, before);

    let theirs = json!({ "change": { "subjects": [{ "id": ada, "roles": [] }] } });
    let stranger = Answer::of(question(&world, &world.stranger(), &theirs)).await;
    assert_eq!(stranger.body["errors"][0]["extensions"]["code"], "not_found", "{stranger:?}");
    let nothing = json!({ "change": { "roles": [{ "name": "seller", "retired": true }] } });
    let stranger = Answer::of(question(&world, &world.stranger(), &nothing)).await;
    assert_eq!(stranger.body["data"]["user"]["policyDryRun"]["examined"], 0, "{stranger:?}");
}

#[tokio::test]
async fn attack_182_a_dry_run_tells_who_did_what_only_where_one_may_read_the_history() {
    let world = World::start().await;
    sales(&world).await;
    for (name, permissions) in [
        ("planner", json!(["user:access:read"])),
        ("reader", json!(["crm:history:read"])),
        ("crm_planner", json!(["user:access:read", "crm:history:read"])),
    ] {
        made(&world, "/v1/user/roles", json!({ "name": name, "title": name, "permissions": permissions })).await;
    }
    // The same end for all, because some events are appended asynchronously.
    let change = json!({ "roles": [{ "name": "seller", "permissions": ["crm:lead:read"] }] });
    let variables = json!({ "change": change, "to": SystemClock.now() });
    let whole = ask(&world, variables.clone()).await;
    assert_eq!(whole["services"], json!(["auth", "crm", "user"]), "{whole}");
    let before = world.head().await;
    for (role, missing) in
        [("planner", "auth:history:read crm:history:read user:history:read"), ("reader", "user:access:read")]
    {
        let answer = Answer::of(question(&world, &world.token_with(&[role]), &variables)).await;
        let refused = &answer.body["errors"][0]["extensions"];
        assert_eq!(
            (&refused["code"], &refused["permission"]),
            (&json!("permission_missing"), &json!(missing)),
            "{answer:?}"
        );
        assert_eq!(answer.body["data"]["user"]["policyDryRun"], Value::Null, "{answer:?}");
    }
    for (token, services) in [
        (world.token_with(&["crm_planner"]), json!(["crm"])),
        // Managers do not read who signed in, and what was done in the service that signs people in.
        (world.token(&[Role::Manager]), json!(["crm", "user"])),
    ] {
        let mut answer = Answer::of(question(&world, &token, &variables)).await;
        let found = answer.body["data"]["user"]["policyDryRun"].take();
        assert_eq!((&found["services"], tallied(&found)), (&services, tallied(&whole)), "{answer:?}");
        assert!(found["examined"].as_i64() < whole["examined"].as_i64(), "{found} {whole}");
    }
    assert_eq!(world.head().await, before, "a question writes nothing");
}
