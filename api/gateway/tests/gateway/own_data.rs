//! A user's own data: their settings, their exported data, and the end of their account.

use kernel::{Clock as _, SystemClock};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use user_commands::Purpose;

use crate::issuers::claims;
use crate::provisioning::town;
use crate::sign_in;
use crate::users::link;
use crate::world::{Answer, PROPAGATION, World};

/// A user who accepted an invitation, with a token. (Only in a world that captures mail: otherwise sending is retried, which appends
/// events.)
async fn ada(world: &World) -> (String, String) {
    let invited = json!({ "email": "ada@example.com", "name": "Ada", "roles": ["member"] });
    let invited = world.post("/v1/user/invitations", invited).await;
    let link = link(world, Purpose::Invitation, invited.body["id"].as_str().unwrap(), 1);
    let body = json!({ "link": link, "name": "Ada Lovelace" });
    let accepted = Answer::of(world.anonymous(Method::POST, "/v1/user/invitations/accept").json(&body)).await;
    assert_eq!(accepted.status, StatusCode::CREATED, "{accepted:?}");
    let id = accepted.body["id"].as_str().unwrap().to_owned();
    (world.token_of_user(&id), id)
}

async fn own(world: &World, token: &str, method: Method, path: &str, body: Value) -> Answer {
    let request = world.anonymous(method, &format!("/v1/user/me{path}")).bearer_auth(token);
    Answer::of(if body.is_null() { request } else { request.json(&body) }).await
}

#[tokio::test]
async fn a_preference_is_the_users_else_the_tenants_else_the_platforms() {
    let world = Box::pin(town()).await;
    let (token, _) = ada(&world).await;
    let theme = async || {
        let list = own(&world, &token, Method::GET, "/preferences", Value::Null).await;
        assert_eq!(list.status, StatusCode::OK, "{list:?}");
        let list = list.body["preferences"].as_array().unwrap().clone();
        let theme = list.into_iter().find(|one| one["key"] == "theme").unwrap();
        (theme["value"].as_str().unwrap().to_owned(), theme["chosen_by"].as_str().unwrap().to_owned())
    };
    let says = |value: &str, by: &str| (value.to_owned(), by.to_owned());
    let choose = |value: &str| json!({ "key": "theme", "value": value });
    assert_eq!(theme().await, says("system", "platform"));
    assert_eq!(world.post("/v1/user/preferences/choose", choose("light")).await.status, StatusCode::OK);
    assert_eq!(theme().await, says("light", "tenant"));
    let chosen = own(&world, &token, Method::POST, "/preferences/choose", choose("dark")).await;
    assert_eq!(chosen.status, StatusCode::OK, "{chosen:?}");
    assert_eq!(theme().await, says("dark", "user"));
    let of_tenant = world.get("/v1/user/preferences").await;
    assert_eq!(of_tenant.body["preferences"][0]["value"], "light", "{of_tenant:?}");
    own(&world, &token, Method::POST, "/preferences/reset", json!({ "key": "theme" })).await;
    assert_eq!(theme().await, says("light", "tenant"));
    assert_eq!(world.post("/v1/user/preferences/reset", json!({ "key": "theme" })).await.status, StatusCode::OK);
    assert_eq!(theme().await, says("system", "platform"));

    let request = |path: &str, body: Value| world.request(Method::POST, path).json(&body);
    let mut cases = Vec::new();
    for (key, value) in [
        ("theme", json!("sepia")),
        ("theme", json!(true)),
        ("rows_per_page", json!(9)),
        ("rows_per_page", json!("50")),
        ("mail_notifications", json!("yes")),
        ("nothing", json!(true)),
        ("theme", json!(null)),
        ("theme", json!([])),
    ] {
        let body = json!({ "key": key, "value": value });
        cases.push((request("/v1/user/preferences/choose", body), StatusCode::BAD_REQUEST, "validation_failed"));
    }
    let machine = request("/v1/user/me/preferences/choose", choose("dark"));
    cases.push((machine, StatusCode::NOT_FOUND, "not_a_user"));
    world.refuses(cases).await;
}

#[tokio::test]
async fn one_gets_all_that_is_known_of_one_and_erases_it_which_can_be_checked() {
    let world = Box::pin(town()).await;
    let (token, id) = ada(&world).await;
    own(&world, &token, Method::POST, "/preferences/choose", json!({ "key": "theme", "value": "dark" })).await;
    let group = world.post("/v1/user/groups", json!({ "name": "Sales", "roles": ["viewer"] })).await;
    let members = format!("/v1/user/groups/{}/change-members", group.body["id"].as_str().unwrap());
    assert_eq!(world.post(&members, json!({ "join": [id] })).await.status, StatusCode::OK);
    let export = own(&world, &token, Method::GET, "/export", Value::Null).await;
    assert_eq!(export.status, StatusCode::OK, "{export:?}");
    let known = export.body;
    assert_eq!((&known["user"]["email"], &known["groups"][0]["name"]), (&json!("ada@example.com"), &json!("Sales")));
    assert_eq!(known["preferences"], json!({ "theme": "dark" }));
    assert!(known["permissions"].as_array().unwrap().contains(&json!("crm:lead:write")), "{known}");
    let events: Vec<_> =
        known["history"].as_array().unwrap().iter().map(|told| told["event"].as_str().unwrap()).collect();
    let expected = [
        "user.invitation.sent",
        "user.invitation.accepted",
        "user.user.registered",
        "user.preferences.chosen",
        "user.user.group_joined",
    ];
    assert_eq!(events, expected);
    assert_eq!(known["history"][0]["data"]["email"], "ada@example.com", "opened: {known}");

    let erasure = format!("/v1/user/users/{id}/erasure");
    let before = world.get(&erasure).await.body;
    let nothing = json!({ "erased": false, "events": 0, "sealed_for_ever": 0, "can_be_opened": 0, "complete": true });
    let expected = json!({ "erased": false, "events": 4, "sealed_for_ever": 0, "can_be_opened": 2, "complete": true,
        "signing_in": nothing });
    assert_eq!(before, expected);
    let other = own(&world, &token, Method::POST, "/erase", json!({ "email": "eve@example.com" })).await;
    assert_eq!((other.status, other.code()), (StatusCode::CONFLICT, "not_confirmed"));
    let erased = own(&world, &token, Method::POST, "/erase", json!({ "email": "Ada@example.com" })).await;
    assert_eq!(erased.status, StatusCode::OK, "{erased:?}");
    let after = world.get(&erasure).await.body;
    assert_eq!((&after["erased"], &after["can_be_opened"]), (&json!(true), &json!(0)), "{after}");
    assert_eq!((&after["sealed_for_ever"], &after["events"]), (&json!(2), &json!(6)), "{after}");
    assert!(after["erased_at"].is_string());
    let refused =
        async { while own(&world, &token, Method::GET, "/export", Value::Null).await.code() != "user_inactive" {} };
    tokio::time::timeout(PROPAGATION, refused).await.expect("still accepted");
}

#[tokio::test]
async fn attack_152_who_has_a_token_of_somebody_who_signed_in_long_ago_gets_no_copy_of_what_is_known_of_them() {
    let world = sign_in::world().await;
    let mut browser = sign_in::invited(&world, "ada@example.com", &["member"]).await;
    let app = sign_in::App::register(&world).await;
    let tokens = app.tokens(&world, &mut browser).await;
    let token = tokens["access_token"].as_str().unwrap();
    let export = async |token: &str| own(&world, token, Method::GET, "/export", Value::Null).await;
    let fresh = export(token).await;
    assert_eq!((fresh.status, &fresh.body["user"]["email"]), (StatusCode::OK, &json!("ada@example.com")), "{fresh:?}");
    // They last authenticated eleven minutes ago; refreshing the token does not change that.
    let at = SystemClock.now() - chrono::TimeDelta::minutes(11);
    let confirmed = json!({ "event": "auth.session.confirmed", "methods": ["pwd"], "at": at }).to_string();
    let session = claims(token)["sid"].as_str().unwrap().to_owned();
    let mut log = PgConnection::connect_with(&world.auth.superuser()).await.unwrap();
    testbed::insert_raw_event(&mut log, &session, "auth.session.confirmed", &confirmed).await;
    let again = app.tokens(&world, &mut browser).await;
    let refreshed = app.refreshes(&world, &again).await;
    let old = refreshed.body["access_token"].as_str().unwrap();
    let before = world.head().await;
    let refused = export(old).await;
    assert_eq!((refused.status, refused.code()), (StatusCode::UNAUTHORIZED, "sign_in_too_old"), "{refused:?}");
    let challenge = refused.header("www-authenticate");
    let max_age = format!("max_age=\"{}\"", kernel::MAX_AUTHENTICATION_AGE.num_seconds());
    assert!(challenge.contains("insufficient_user_authentication") && challenge.contains(&max_age), "{refused:?}");
    assert_eq!(world.head().await, before, "something was written");
    assert_eq!(own(&world, old, Method::GET, "", Value::Null).await.status, StatusCode::OK, "who they are, it is told");
}

#[tokio::test]
async fn who_can_not_be_read_as_a_whole_can_be_looked_at_and_erased() {
    let world = Box::pin(town()).await;
    let (_, id) = ada(&world).await;
    let mut log = PgConnection::connect_with(&world.of("user").superuser()).await.unwrap();
    testbed::insert_raw_event(&mut log, &id, "user.user.promoted", "{\"event\":\"user.user.promoted\"}").await;
    let path = format!("/v1/user/users/{id}");
    let lock = world.request(Method::POST, &format!("{path}/lock")).json(&json!({ "reason": "gone" }));
    let before = world.head_of(world.of("user")).await;
    world.refuses(vec![(lock, StatusCode::INTERNAL_SERVER_ERROR, "history_unreadable")]).await;
    assert_eq!(world.head_of(world.of("user")).await, before);
    let told = world.get(&format!("{path}/erasure")).await;
    assert_eq!((told.status, &told.body["erased"]), (StatusCode::OK, &json!(false)), "{told:?}");
    let erased = world.post(&format!("{path}/erase"), json!({})).await;
    assert_eq!(erased.status, StatusCode::OK, "{erased:?}");
    let told = world.get(&format!("{path}/erasure")).await.body;
    assert_eq!((&told["erased"], &told["can_be_opened"]), (&json!(true), &json!(0)), "{told}");
}

#[tokio::test]
async fn the_last_owner_does_not_erase_themselves() {
    let world = World::start().await;
    let owner = json!({ "name": "Root", "email": "root@example.com", "roles": ["admin"] });
    let owner = world.post("/v1/user/users", owner).await;
    let token = world.token_of_user(owner.body["id"].as_str().unwrap());
    let erase = world.anonymous(Method::POST, "/v1/user/me/erase").bearer_auth(token);
    let erase = erase.json(&json!({ "email": "root@example.com" }));
    world.refuses(vec![(erase, StatusCode::CONFLICT, "last_owner")]).await;
}

#[tokio::test]
async fn files_of_users_that_were_sent_before_somebody_was_erased_are_removed() {
    let world = Box::pin(town()).await;
    let (token, ada) = ada(&world).await;
    let grace = json!({ "name": "Grace", "email": "grace@example.com", "roles": ["member"] });
    let grace = world.post("/v1/user/users", grace).await.body["id"].as_str().unwrap().to_owned();
    assert_eq!(world.post("/v1/jobs/user/queues/imports/pause", json!({})).await.status, StatusCode::OK);
    let oneself = world.anonymous(Method::POST, "/v1/user/me/erase").bearer_auth(token);
    let oneself = oneself.json(&json!({ "email": "ada@example.com" }));
    let by_another = world.request(Method::POST, &format!("/v1/user/users/{grace}/erase")).json(&json!({}));
    for (nth, (name, erase)) in [("ada", oneself), ("grace", by_another)].into_iter().enumerate() {
        // The import would create a user with the same address again.
        let file = format!("email,name\n{name}@example.com,Once more\n");
        let import = world.request(Method::POST, "/v1/user/imports").header("content-type", "text/csv").body(file);
        let import = Answer::of(import).await;
        let job = import.header("location").to_owned();
        assert_eq!(world.post(&format!("{job}/cancel"), json!({})).await.status, StatusCode::OK);
        let erased = Answer::of(erase).await;
        assert_eq!(erased.status, StatusCode::OK, "{erased:?}");
        testbed::eventually("the file is removed", async || {
            let jobs = world.get("/v1/jobs/user?kind=forget_imports&state=completed").await.body;
            (jobs["jobs"].as_array().unwrap().len() == nth + 1).then_some(())
        })
        .await;
        let retry = world.request(Method::POST, &format!("{job}/retry")).json(&json!({}));
        world.refuses(vec![(retry, StatusCode::CONFLICT, "job_input_forgotten")]).await;
    }
    let told = world.get(&format!("/v1/user/users/{ada}/erasure")).await.body;
    assert_eq!((&told["erased"], &told["can_be_opened"]), (&json!(true), &json!(0)), "{told}");
    let inputs = "SELECT coalesce(string_agg(encode(bytes, 'escape'), ''), '') FROM jobs.inputs";
    let mut connection = PgConnection::connect_with(&world.of("user").superuser()).await.unwrap();
    let inputs: String = sqlx::query_scalar(inputs).fetch_one(&mut connection).await.unwrap();
    assert_eq!(inputs, "");
}

#[tokio::test]
async fn what_is_more_than_is_read_anew_of_somebody_is_said_to_be_there() {
    let world = Box::pin(town()).await;
    let (_, ada) = ada(&world).await;
    let erasure = async || world.get(&format!("/v1/user/users/{ada}/erasure")).await.body["signing_in"].take();
    assert_eq!(erasure().await["complete"], true);
    let mut tables = PgConnection::connect_with(&world.auth.superuser()).await.unwrap();
    let tried = async |tables: &mut PgConnection, number: i32| {
        sqlx::query(
            "INSERT INTO auth.refused_sign_in (tenant_id, sign_in_id, version, user_id, reason, at)
             SELECT $1, gen_random_uuid(), 1, $2::uuid, 'password', now() FROM generate_series(1, $3)",
        )
        .bind(world.tenant.uuid())
        .bind(&ada)
        .bind(number)
        .execute(tables)
        .await
        .unwrap();
    };
    tried(&mut tables, 1_000).await;
    assert_eq!(erasure().await["complete"], true, "as many as are read");
    tried(&mut tables, 1).await;
    assert_eq!(erasure().await["complete"], false, "one more");
}

#[tokio::test]
async fn attack_159_a_manager_keeps_no_file_with_whom_an_administrator_erases() {
    let world = World::start().await;
    let made = world.post("/v1/user/users", json!({ "name": "Ada", "email": "ada@example.com" })).await;
    let ada = made.body["id"].as_str().unwrap();
    // While the queue is paused, the job that removes files waits.
    assert_eq!(world.post("/v1/jobs/user/queues/default/pause", json!({})).await.status, StatusCode::OK);
    let erased = world.post(&format!("/v1/user/users/{ada}/erase"), json!({})).await;
    assert_eq!(erased.status, StatusCode::OK, "{erased:?}");
    let jobs = world.get("/v1/jobs/user?kind=forget_imports").await.body;
    let job = format!("/v1/jobs/user/{}/cancel", jobs["jobs"][0]["id"].as_str().unwrap());
    let manager = world.token(&[kernel::Role::Manager]);
    let cancel = world.anonymous(Method::POST, &job).bearer_auth(manager).json(&json!({}));
    world.refuses(vec![(cancel, StatusCode::FORBIDDEN, "permission_missing")]).await;
    assert_eq!(world.post(&job, json!({})).await.status, StatusCode::OK, "an administrator may");
}
