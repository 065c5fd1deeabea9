//! Users end to end: from REST to GraphQL, and public operations that need only a mailed link.

use kernel::{Role, UserId};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use user_commands::{Link, LinkKey, Purpose};
use uuid::Uuid;

use crate::provisioning::town;
use crate::world::{Answer, World};

/// Queries GraphQL as the tenant's administrator, once the read models have reached the end of the log.
pub async fn ask(world: &World, done: &Answer, fields: &str) -> Value {
    let request = world
        .request(Method::POST, "/graphql")
        .header("x-min-position", done.header("x-position"))
        .json(&json!({ "query": format!("{{ user {{ {fields} }} }}") }));
    let mut answer = Answer::of(request).await;
    assert_eq!(answer.body["errors"], Value::Null, "{answer:?}");
    answer.body["data"]["user"].take()
}

/// Registers a user with this name, and an address made of it, in no group.
pub async fn register(world: &World, name: &str, roles: &[&str]) -> Answer {
    let body = json!({ "name": name, "email": format!("{name}@example.com"), "roles": roles });
    let answer = world.post("/v1/user/users", body).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    answer
}

/// Registers a user who is a member; returns their id and their token.
pub async fn member(world: &World, name: &str) -> (String, String) {
    let registered = register(world, name, &["member"]).await;
    let id = registered.body["id"].as_str().unwrap().to_owned();
    let token = world.token_of(&id, &[Role::Member]);
    (id, token)
}

/// A link as a mail would contain it.
pub fn link(world: &World, purpose: Purpose, id: &str, turn: u32) -> String {
    let id = id.parse::<Uuid>().unwrap();
    LinkKey::derive(&[0x5e; 32]).write(&Link { purpose, tenant: world.tenant, id, turn })
}

#[tokio::test]
async fn a_user_who_is_registered_is_in_the_directory_with_what_they_may_do() {
    let world = World::start().await;
    let group = world.post("/v1/user/groups", json!({ "name": "Sales", "roles": ["member"] })).await;
    let ada = register(&world, "ada", &["viewer"]).await;
    let id = ada.body["id"].as_str().unwrap();
    assert_eq!(ada.header("location"), format!("/v1/user/users/{id}"));
    let members = format!("/v1/user/groups/{}/change-members", group.body["id"].as_str().unwrap());
    let joined = world.post(&members, json!({ "join": [id] })).await;
    assert_eq!(joined.status, StatusCode::OK, "{joined:?}");
    let seen = ask(
        &world,
        &joined,
        "users(first: 2, filter: { search: \"ada\" }) { totalCount nodes { id email groups { name members(first: 2) { nodes { id } } }
         access { roles permissions { name by } } } }",
    )
    .await;
    let node = &seen["users"]["nodes"][0];
    assert_eq!((node["id"].as_str(), node["email"].as_str()), (Some(id), Some("ada@example.com")));
    assert_eq!(node["groups"][0]["members"]["nodes"][0]["id"], id);
    assert_eq!(node["access"]["roles"], json!(["member", "viewer"]));
    let permissions = node["access"]["permissions"].as_array().unwrap();
    let write = permissions.iter().find(|permission| permission["name"] == "crm:lead:write").unwrap();
    assert_eq!(write["by"], json!(["member"]), "of another service, by the group's role");
    let history = ask(&world, &joined, &format!("userHistory(id: \"{id}\") {{ change actor roles }}")).await;
    assert_eq!(history["userHistory"][1]["change"], "group_joined");
}

#[tokio::test]
async fn whoever_has_an_invitations_link_becomes_a_user_without_a_token_once() {
    let world = Box::pin(town()).await;
    let invited = world.post("/v1/user/invitations", json!({ "email": "ada@example.com", "roles": ["member"] })).await;
    assert_eq!(invited.status, StatusCode::CREATED, "{invited:?}");
    let id = invited.body["id"].as_str().unwrap();
    let link = link(&world, Purpose::Invitation, id, 1);
    let accept = |link: &str| {
        let body = json!({ "link": link, "name": "Ada Lovelace" });
        world.anonymous(Method::POST, "/v1/user/invitations/accept").json(&body)
    };
    let accepted = Answer::of(accept(&link)).await;
    assert_eq!(accepted.status, StatusCode::CREATED, "{accepted:?}");
    let user = accepted.body["id"].as_str().unwrap();
    let seen = ask(
        &world,
        &accepted,
        &format!(
            "user(id: \"{user}\") {{ name emailVerified roles }} invitations {{ nodes {{ status user {{ id }} }} }}"
        ),
    )
    .await;
    assert_eq!(seen["user"], json!({ "name": "Ada Lovelace", "emailVerified": true, "roles": ["member"] }));
    assert_eq!(seen["invitations"]["nodes"], json!([{ "status": "ACCEPTED", "user": { "id": user } }]));
    let before = world.head().await;
    let again = Answer::of(accept(&link)).await;
    assert_eq!((again.status, again.code()), (StatusCode::CONFLICT, "link_not_good"));
    again.assert_problem();
    assert_eq!(world.head().await, before + 1, "one record of it, and nothing else");
}

#[tokio::test]
async fn attack_181_the_invitation_of_somebody_who_was_locked_waits_until_another_sends_it_again() {
    let world = Box::pin(town()).await;
    let boss = register(&world, "boss", &["manager"]).await;
    let boss = boss.body["id"].as_str().unwrap();
    let body = json!({ "email": "ada@example.com", "roles": ["member"] });
    let invite = world.anonymous(Method::POST, "/v1/user/invitations").bearer_auth(world.token_of_user(boss));
    let invited = Answer::of(invite.json(&body)).await;
    assert_eq!(invited.status, StatusCode::CREATED, "{invited:?}");
    let id = invited.body["id"].as_str().unwrap();
    let accept = |turn| {
        let body = json!({ "link": link(&world, Purpose::Invitation, id, turn), "name": "Ada Lovelace" });
        world.anonymous(Method::POST, "/v1/user/invitations/accept").json(&body)
    };
    let locked = world.post(&format!("/v1/user/users/{boss}/lock"), json!({ "reason": "left" })).await;
    assert_eq!(locked.status, StatusCode::OK, "{locked:?}");
    world.refuses(vec![(accept(1), StatusCode::CONFLICT, "inviter_not_allowed")]).await;
    let resent = world.post(&format!("/v1/user/invitations/{id}/resend"), json!({})).await;
    assert_eq!(resent.status, StatusCode::OK, "{resent:?}");
    let accepted = Answer::of(accept(2)).await;
    assert_eq!(accepted.status, StatusCode::CREATED, "{accepted:?}");
}

#[tokio::test]
async fn users_and_invitations_come_from_a_file_as_a_dry_run_said() {
    let world = Box::pin(town()).await;
    register(&world, "taken", &[]).await;
    let csv = "E-Mail,name,roles\nada@example.com,Ada,member\ntaken@example.com,Taken,\nADA@example.com,Again,\n";
    let import = |query: &str| {
        let path = format!("/v1/user/users/import?mapping=E-Mail:email{query}");
        world.request(Method::POST, &path).header("content-type", "text/csv").body(csv)
    };
    let before = world.head().await;
    let dry = Answer::of(import("&dry_run=true")).await;
    assert_eq!(
        (dry.status, &dry.body["taken"], &dry.body["refused"]),
        (StatusCode::OK, &json!(1), &json!(2)),
        "{dry:?}"
    );
    assert_eq!((world.head().await, dry.header("x-position")), (before, ""), "a dry run wrote");
    let codes: Vec<_> = dry.body["errors"].as_array().unwrap().iter().map(|error| &error["code"]).collect();
    assert_eq!(codes, ["login_taken", "duplicate_in_file"]);
    let keyed = || import("").header("idempotency-key", "people");
    let done = Answer::of(keyed()).await;
    assert_eq!((done.status, &done.body["errors"]), (StatusCode::OK, &dry.body["errors"]), "{done:?}");
    let seen = ask(&world, &done, "users(first: 3, filter: { search: \"ada@\" }) { nodes { name roles } }").await;
    assert_eq!(seen["users"]["nodes"], json!([{ "name": "Ada", "roles": ["member"] }]));
    let import_path = format!("/v1/user/imports/{}", done.body["import_id"].as_str().unwrap());
    let record = world.get(&import_path).await;
    assert_eq!((&record.body["kind"], &record.body["taken"]), (&json!("users"), &json!(1)), "{record:?}");
    let head = world.head().await;
    let again = Answer::of(keyed()).await;
    assert_eq!((&again.body, again.header("idempotency-replayed")), (&done.body, "true"));
    assert_eq!(world.head().await, head);

    let invite =
        world.request(Method::POST, "/v1/user/users/import?into=invitations").header("content-type", "text/csv");
    let invited = Answer::of(invite.body("email,roles\ngrace@example.com,viewer\n")).await;
    assert_eq!((invited.status, &invited.body["taken"]), (StatusCode::OK, &json!(1)), "{invited:?}");
    let seen = ask(&world, &invited, "invitations { nodes { email status } }").await;
    assert_eq!(seen["invitations"]["nodes"], json!([{ "email": "grace@example.com", "status": "PENDING" }]));
    let other = world.anonymous(Method::GET, &import_path).bearer_auth(world.stranger());
    let member = world.anonymous(Method::POST, "/v1/user/users/import").bearer_auth(world.token(&[Role::Member]));
    let member = member.header("content-type", "text/csv").body(csv);
    let wide = world.request(Method::POST, "/v1/user/users/import").header("content-type", "text/csv");
    world
        .refuses(vec![
            (other, StatusCode::NOT_FOUND, "not_found"),
            (member, StatusCode::FORBIDDEN, "permission_missing"),
            (wide.body(vec![b','; 1_000_000]), StatusCode::BAD_REQUEST, "csv_too_many_columns"),
        ])
        .await;
}

#[tokio::test]
async fn a_user_verifies_their_own_address_and_sees_themselves() {
    let world = Box::pin(town()).await;
    let ada = register(&world, "ada", &["member"]).await;
    let id = ada.body["id"].as_str().unwrap().to_owned();
    let user: UserId = id.parse().unwrap();
    let token = world.token_of(&user.to_string(), &[Role::Member]);
    let own = |method, path: &str| world.anonymous(method, path).bearer_auth(&token);
    let asked = Answer::of(own(Method::POST, "/v1/user/me/verify-email").json(&json!({}))).await;
    assert_eq!(asked.status, StatusCode::OK, "{asked:?}");
    let body = json!({ "link": link(&world, Purpose::Email, &id, 1) });
    let verified = Answer::of(world.anonymous(Method::POST, "/v1/user/email/verify").json(&body)).await;
    assert_eq!(verified.status, StatusCode::OK, "{verified:?}");
    let me = Answer::of(own(Method::GET, "/v1/user/me")).await;
    assert_eq!((&me.body["email_verified"], &me.body["id"]), (&json!(true), &json!(id)), "{me:?}");
    let machine = world.request(Method::GET, "/v1/user/me");
    world.refuses(vec![(machine, StatusCode::NOT_FOUND, "not_a_user")]).await;
}

#[tokio::test]
async fn attack_50_another_tenants_users_are_as_unknown_as_those_that_never_were() {
    let world = World::start().await;
    let ada = register(&world, "ada", &["member"]).await;
    let (ada, unknown) = (ada.body["id"].as_str().unwrap(), "0197a8a0-0000-7000-8000-000000000001");
    let before = world.head().await;
    for (method, verb, body) in [
        (Method::GET, "", Value::Null),
        (Method::POST, "/lock", json!({ "reason": "x" })),
        (Method::POST, "/remove", json!({})),
        (Method::POST, "/erase", json!({})),
        (Method::POST, "/grant-role", json!({ "role": "admin" })),
        (Method::POST, "/change-login", json!({ "email": "eve@example.com" })),
    ] {
        let ask = async |id: &str| {
            let request =
                world.anonymous(method.clone(), &format!("/v1/user/users/{id}{verb}")).bearer_auth(world.stranger());
            let mut answer = Answer::of(if body.is_null() { request } else { request.json(&body) }).await;
            answer.assert_problem();
            answer.body["instance"] = Value::Null;
            answer.body["detail"] = answer.body["detail"].as_str().unwrap().replace(id, "<id>").into();
            (answer.status, answer.body)
        };
        let (theirs, nobodys) = (ask(ada).await, ask(unknown).await);
        assert_eq!(theirs.0, StatusCode::NOT_FOUND, "{theirs:?}");
        assert_eq!(theirs, nobodys, "{verb}");
    }
    assert_eq!(world.head().await, before);
}

#[tokio::test]
async fn attack_51_no_body_says_which_tenant_status_or_verification_one_has() {
    let world = World::start().await;
    let user = json!({ "name": "Eve", "email": "eve@example.com" });
    let mut cases = Vec::new();
    for (member, value) in [
        ("tenant_id", json!(world.tenant.uuid())),
        ("status", json!("active")),
        ("email_verified", json!(true)),
        ("id", json!("0197a8a0-0000-7000-8000-000000000001")),
    ] {
        let mut body = user.clone();
        body[member] = value;
        let request = world.request(Method::POST, "/v1/user/users").json(&body);
        cases.push((request, StatusCode::BAD_REQUEST, "validation_failed"));
    }
    world.refuses(cases).await;
}

#[tokio::test]
async fn attack_52_a_manager_gets_no_more_than_a_manager_may() {
    let world = World::start().await;
    let member = register(&world, "member", &["member"]).await;
    let member = member.body["id"].as_str().unwrap();
    let manager = world.token(&[Role::Manager]);
    let post = |path: &str, body: Value| world.anonymous(Method::POST, path).bearer_auth(&manager).json(&body);
    let exceeds = |request| (request, StatusCode::FORBIDDEN, "exceeds_own_permissions");
    world
        .refuses(vec![
            exceeds(post(&format!("/v1/user/users/{member}/grant-role"), json!({ "role": "admin" }))),
            exceeds(post("/v1/user/groups", json!({ "name": "Eves", "roles": ["admin"] }))),
            exceeds(post("/v1/user/invitations", json!({ "email": "eve@example.com", "roles": ["admin"] }))),
            exceeds(post("/v1/user/users", json!({ "name": "Eve", "email": "e@example.com", "roles": ["admin"] }))),
        ])
        .await;
}

#[tokio::test]
async fn attack_53_a_link_that_is_not_ours_or_for_something_else_does_nothing() {
    let world = Box::pin(town()).await;
    let invited = world.post("/v1/user/invitations", json!({ "email": "ada@example.com" })).await;
    let id = invited.body["id"].as_str().unwrap().to_owned();
    let good = link(&world, Purpose::Invitation, &id, 1);
    let flipped = if good.starts_with('A') { "B" } else { "A" };
    let others = LinkKey::derive(&[0x5f; 32]).write(&Link {
        purpose: Purpose::Invitation,
        tenant: world.tenant,
        id: id.parse().unwrap(),
        turn: 1,
    });
    let mut cases = Vec::new();
    for wrong in ["x".repeat(92), format!("{flipped}{}", &good[1..]), others, link(&world, Purpose::Email, &id, 1)] {
        let body = json!({ "link": wrong, "name": "Eve" });
        let accept = world.anonymous(Method::POST, "/v1/user/invitations/accept").json(&body);
        cases.push((accept, StatusCode::CONFLICT, "link_not_good"));
    }
    let verify = world.anonymous(Method::POST, "/v1/user/email/verify").json(&json!({ "link": good }));
    cases.push((verify, StatusCode::CONFLICT, "link_not_good"));
    world.refuses(cases).await;
}
