//! Privilege boundaries: users can always manage what is their own, and never act on subjects with more permissions than they have.

use futures::future::join_all;
use kernel::{Clock, SystemClock};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use sqlx::Connection;

use crate::identity_provider::{ENTITY, Idp};
use crate::issuers::{Machine, claims};
use crate::saml_attacks::connected;
use crate::world::{Answer, World};

/// A user with a custom role that has only these permissions.
pub async fn with_permissions(world: &World, permissions: &[&str]) -> String {
    let role = json!({ "name": "keeper", "title": "Keeper", "permissions": permissions });
    assert_eq!(world.post("/v1/user/roles", role).await.status, StatusCode::CREATED);
    world.token_with(&["keeper"])
}

/// Requests that must be refused, with nothing written except the records of the denials and of the use of an API key.
async fn refuses(world: &World, cases: Vec<(RequestBuilder, StatusCode, &str)>) {
    let written = async || {
        let mut count = 0;
        for database in [world.of("auth"), world.of("user"), world.of("crm")] {
            world.head_of(database).await;
            let mut connection = sqlx::PgConnection::connect_with(&database.superuser()).await.unwrap();
            let events = "SELECT count(*) FROM log.events
                          WHERE event_type NOT LIKE 'auth.access.%' AND event_type <> 'auth.api_key.used'";
            count += sqlx::query_scalar::<_, i64>(events).fetch_one(&mut connection).await.unwrap();
            connection.close().await.unwrap();
        }
        count
    };
    let before = written().await;
    for (request, status, code) in cases {
        let answer = Answer::of(request).await;
        assert_eq!((answer.status, answer.code()), (status, code), "{answer:?}");
    }
    assert_eq!(written().await, before, "something was written");
}

#[tokio::test]
async fn attack_52_who_looks_after_machines_gets_no_more_by_them() {
    let world = World::start().await;
    let permissions = ["auth:machine:read", "auth:machine:write", "auth:session:write", "auth:account:write"];
    let keeper = with_permissions(&world, &permissions).await;
    let post = |path: &str, body: &Value| world.anonymous(Method::POST, path).bearer_auth(&keeper).json(body);
    let root = Machine::register(&world, "root", &["admin"]).await;
    let sensor = Answer::of(post("/v1/auth/machines", &json!({ "name": "sensor", "roles": ["keeper"] }))).await;
    assert_eq!(sensor.status, StatusCode::CREATED, "what they may themselves they may give: {sensor:?}");
    let sensor = format!("/v1/auth/machines/{}", sensor.body["id"].as_str().unwrap());
    let at_root = |path: &str| format!("/v1/auth/machines/{}/{path}", root.id);
    let admin = json!({ "name": "Root", "email": "root@example.com", "roles": ["admin"] });
    let admin = world.post("/v1/user/users", admin).await.body["id"].as_str().unwrap().to_owned();
    let of_admin = |path: &str| format!("/v1/auth/users/{admin}/{path}");
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" });
    let exceeds = |request: RequestBuilder| (request, StatusCode::FORBIDDEN, "exceeds_own_permissions");
    let mut refused = vec![
        exceeds(post("/v1/auth/machines", &json!({ "name": "evil", "roles": ["admin"] }))),
        exceeds(post("/v1/auth/machines", &json!({ "name": "evil", "roles": ["keeper", "viewer"] }))),
        exceeds(post(&format!("{sensor}/change"), &json!({ "name": "sensor", "roles": ["admin"] }))),
        exceeds(post(&at_root("change"), &json!({ "name": "root", "roles": [] }))),
        exceeds(post(&at_root("secret"), &json!({}))),
        exceeds(post(&at_root("keys"), &json!({ "keys": [jwk] }))),
        exceeds(post(&at_root("reactivate"), &json!({}))),
        exceeds(post(&of_admin("reset-second-factor"), &json!({}))),
        exceeds(post(&of_admin("end-sessions"), &json!({}))),
    ];
    for scopes in [json!([]), json!(["crm:lead:read"]), json!(["auth:*"])] {
        let key = json!({ "machine": root.id, "name": "evil", "scopes": scopes });
        refused.push(exceeds(post("/v1/auth/api-keys", &key)));
    }
    refuses(&world, refused).await;
    // An administrator can't do so either: the role does not exist.
    let typo = world.request(Method::POST, "/v1/auth/machines").json(&json!({ "name": "typo", "roles": ["keepr"] }));
    refuses(&world, vec![(typo, StatusCode::UNPROCESSABLE_ENTITY, "reference_unknown")]).await;

    // For a machine with more permissions they can issue a key only with permissions that they have; for any other, every key.
    let key = json!({ "machine": root.id, "name": "looks", "scopes": ["auth:machine:read"] });
    assert_eq!(Answer::of(post("/v1/auth/api-keys", &key)).await.status, StatusCode::CREATED);
    assert_eq!(Answer::of(post(&format!("{sensor}/secret"), &json!({}))).await.status, StatusCode::OK);
    // A key with restricted scopes can grant only those.
    let (_, limited) = root.api_key(&world, json!({ "scopes": ["auth:machine:write"] })).await;
    let evil = json!({ "name": "evil", "roles": ["admin"] });
    let by_key = world.anonymous(Method::POST, "/v1/auth/machines").bearer_auth(&limited).json(&evil);
    refuses(&world, vec![exceeds(by_key)]).await;
}

#[tokio::test]
async fn attack_153_who_may_do_less_takes_nothing_from_whom_or_what_may_do_more() {
    let world = World::start().await;
    let permissions = ["auth:machine:write", "auth:grant:write", "auth:saml_connection:write"];
    let keeper = with_permissions(&world, &permissions).await;
    let root = Machine::register(&world, "root", &["admin"]).await;
    let (key, _) = root.api_key(&world, json!({})).await;
    let grant = claims(&root.token(&world).await)["grant"].as_str().unwrap().to_owned();
    let connection = connected(&world).await.1;
    let admin = json!({ "name": "Root", "email": "root@example.com", "roles": ["admin"] });
    let admin = world.post("/v1/user/users", admin).await.body["id"].as_str().unwrap().to_owned();
    let client =
        json!({ "name": "Reports", "confidential": true, "redirect_uris": ["https://reports.example.com/back"] });
    let client = world.post("/v1/auth/clients", client).await.body["id"].as_str().unwrap().to_owned();
    let post = |path: &str| world.anonymous(Method::POST, path).bearer_auth(&keeper).json(&json!({}));
    let taken = [
        format!("/v1/auth/machines/{}/deactivate", root.id),
        format!("/v1/auth/api-keys/{key}/revoke"),
        format!("/v1/auth/grants/{grant}/withdraw"),
        format!("/v1/auth/users/{admin}/consents/{client}/withdraw"),
        format!("/v1/auth/saml-connections/{}/deactivate", connection.id),
    ];
    let exceeds = |path: &String| (post(path), StatusCode::FORBIDDEN, "exceeds_own_permissions");
    refuses(&world, taken.iter().map(exceeds).collect()).await;

    // They can end the grant of a machine without further permissions, deactivate it, and revoke a restricted key of a stronger machine.
    let sensor = Machine::register(&world, "sensor", &["keeper"]).await;
    let grant = claims(&sensor.token(&world).await)["grant"].as_str().unwrap().to_owned();
    let (key, _) = root.api_key(&world, json!({ "scopes": ["auth:machine:write"] })).await;
    for path in [
        format!("/v1/auth/grants/{grant}/withdraw"),
        format!("/v1/auth/machines/{}/deactivate", sensor.id),
        format!("/v1/auth/api-keys/{key}/revoke"),
    ] {
        let ended = Answer::of(post(&path)).await;
        assert_eq!(ended.status, StatusCode::OK, "{path}: {ended:?}");
    }
}

#[tokio::test]
async fn attack_154_who_looks_after_applications_gets_no_more_by_whoever_uses_them() {
    let world = World::start().await;
    let keeper = with_permissions(&world, &["auth:client:read", "auth:client:write"]).await;
    let body = |trusted: bool, uris: &[&str]| json!({ "name": "App", "confidential": true, "redirect_uris": uris, "trusted": trusted });
    let (back, evil) = ("https://app.example.com/back", "https://evil.example.com/back");
    let mut made = Vec::new();
    for trusted in [true, false] {
        let client = world.post("/v1/auth/clients", body(trusted, &[back])).await;
        made.push(format!("/v1/auth/clients/{}", client.body["id"].as_str().unwrap()));
    }
    let (own, asked) = (&made[0], &made[1]);
    let post = |path: &str, body: Value| world.anonymous(Method::POST, path).bearer_auth(&keeper).json(&body);
    let exceeds = |path: &str, body: Value| (post(path, body), StatusCode::FORBIDDEN, "exceeds_own_permissions");
    refuses(
        &world,
        vec![
            // A client that needs no consent would act with all their permissions without asking.
            exceeds("/v1/auth/clients", body(true, &[evil])),
            exceeds(&format!("{asked}/change"), body(true, &[back])),
            exceeds(&format!("{own}/change"), body(true, &[evil])),
            exceeds(&format!("{own}/change"), body(false, &[back])),
            exceeds(&format!("{own}/secret"), json!({})),
            exceeds(&format!("{own}/deactivate"), json!({})),
            exceeds(&format!("{own}/reactivate"), json!({})),
            // Users who have consented before are not asked again.
            exceeds(&format!("{asked}/change"), body(false, &[back, evil])),
        ],
    )
    .await;
    let renamed = json!({ "name": "Other", "confidential": true, "redirect_uris": [back] });
    for (path, sent, status) in [
        ("/v1/auth/clients".to_owned(), body(false, &[evil]), StatusCode::CREATED),
        (format!("{asked}/change"), renamed, StatusCode::OK),
        (format!("{asked}/secret"), json!({}), StatusCode::OK),
        (format!("{asked}/deactivate"), json!({}), StatusCode::OK),
    ] {
        let done = Answer::of(post(&path, sent)).await;
        assert_eq!(done.status, status, "{path}: {done:?}");
    }
}

#[tokio::test]
async fn attack_156_a_role_that_is_made_to_include_many_hides_no_other_role() {
    let world = World::unlimited().await;
    let role = |name: &str, includes: &[String]| json!({ "name": name, "title": name, "permissions": [], "includes": includes });
    assert_eq!(world.post("/v1/user/roles", role("sales", &[])).await.status, StatusCode::CREATED);
    // A machine and a person of administrators also have a role that somebody else looks after.
    let root = Machine::register(&world, "root", &["admin", "sales"]).await;
    let admin = json!({ "name": "Root", "email": "root@example.com", "roles": ["admin", "sales"] });
    let admin = world.post("/v1/user/users", admin).await.body["id"].as_str().unwrap().to_owned();
    let permissions = ["user:role:write", "auth:machine:write", "auth:account:write", "auth:session:write"];
    let keeper = with_permissions(&world, &permissions).await;
    let post = |path: &str, body: &Value| world.anonymous(Method::POST, path).bearer_auth(&keeper).json(body);
    let define = |name: String| {
        let request = post("/v1/user/roles", &role(&name, &[]));
        async move {
            let defined = Answer::of(request).await;
            assert_eq!(defined.status, StatusCode::CREATED, "{defined:?}");
        }
    };
    let change = async |name: &str, includes: &[String]| {
        let includes = json!({ "title": name, "permissions": [], "includes": includes });
        let changed = Answer::of(post(&format!("/v1/user/roles/{name}/change"), &includes)).await;
        assert_eq!(changed.status, StatusCode::OK, "{changed:?}");
    };
    // Each change includes few roles, and all together more than are resolved.
    let outer: Vec<String> = (0..11).map(|nth| format!("outer{nth}")).collect();
    join_all(outer.iter().cloned().map(define)).await;
    change("sales", &outer).await;
    for name in &outer {
        let inner: Vec<String> = (0..50).map(|nth| format!("{name}_{nth}")).collect();
        join_all(inner.iter().cloned().map(define)).await;
        change(name, &inner).await;
    }

    let too_many = |path: String| (post(&path, &json!({})), StatusCode::UNPROCESSABLE_ENTITY, "too_many_roles");
    let out_of_reach = [
        format!("/v1/auth/machines/{}/secret", root.id),
        format!("/v1/auth/users/{admin}/reset-second-factor"),
        format!("/v1/auth/users/{admin}/end-sessions"),
    ];
    refuses(&world, out_of_reach.map(too_many).into()).await;
    // Neither do they lose what their other roles allow, nor can the role not be mended.
    for token in [root.token(&world).await, world.token_of_user(&admin)] {
        let asks = world.anonymous(Method::GET, "/v1/auth/signing-keys").bearer_auth(token);
        assert_eq!(Answer::of(asks).await.status, StatusCode::OK);
    }
    let mended = world.post("/v1/user/roles/sales/change", json!({ "title": "Sales", "permissions": [] })).await;
    assert_eq!(mended.status, StatusCode::OK, "{mended:?}");
    let exceeds = |path: String| (post(&path, &json!({})), StatusCode::FORBIDDEN, "exceeds_own_permissions");
    refuses(&world, vec![exceeds(format!("/v1/auth/machines/{}/secret", root.id))]).await;
}

#[tokio::test]
async fn attack_52_who_connects_identity_providers_gives_no_more_by_them() {
    let world = World::start().await;
    let connected = connected(&world).await.1;
    let keeper = with_permissions(&world, &["auth:saml_connection:read", "auth:saml_connection:write"]).await;
    let post = |path: &str, body: &Value| world.anonymous(Method::POST, path).bearer_auth(&keeper).json(body);
    let metadata = Idp::new(&world).metadata().replace(ENTITY, "https://idp.example.org/metadata");
    let gives = |role: &str| {
        let roles = if role.is_empty() { json!([]) } else { json!([{ "value": "staff", "role": role }]) };
        json!({ "name": "Evil", "metadata": metadata, "domains": ["example.org"], "attributes": { "roles": "groups" }, "roles": roles })
    };
    let exceeds = |request: RequestBuilder| (request, StatusCode::FORBIDDEN, "exceeds_own_permissions");
    let at = |path: &str| format!("/v1/auth/saml-connections/{}/{path}", connected.id);
    refuses(
        &world,
        vec![
            exceeds(post("/v1/auth/saml-connections", &gives("admin"))),
            exceeds(post("/v1/auth/saml-connections", &gives("viewer"))),
            // Whatever roles it gives: who controls a connection could sign in by it as an administrator.
            exceeds(post("/v1/auth/saml-connections", &gives("keeper"))),
            exceeds(post("/v1/auth/saml-connections", &gives(""))),
            exceeds(post(&at("change"), &gives(""))),
            exceeds(post(&at("deactivate"), &json!({}))),
            exceeds(post(&at("reactivate"), &json!({}))),
        ],
    )
    .await;
    let made = world.post("/v1/auth/saml-connections", gives("viewer")).await;
    assert_eq!(made.status, StatusCode::CREATED, "an administrator may: {made:?}");
}

#[tokio::test]
async fn what_is_ones_own_needs_no_role() {
    let world = World::start().await;
    let made = world.post("/v1/user/users", json!({ "name": "Ada", "email": "ada@example.com" })).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let ada = world.token_of_user(made.body["id"].as_str().unwrap());
    let ask = |method: Method, path: &str| world.anonymous(method, path).bearer_auth(&ada);
    for path in ["/v1/user/me", "/v1/user/me/export", "/v1/user/me/preferences"] {
        let own = Answer::of(ask(Method::GET, path)).await;
        assert_eq!(own.status, StatusCode::OK, "{path}: {own:?}");
    }
    let changed = ask(Method::POST, "/v1/user/me/change-profile").json(&json!({ "name": "Ada Lovelace" }));
    assert_eq!(Answer::of(changed).await.status, StatusCode::OK);
    let others = ask(Method::GET, "/v1/user/permissions");
    let leads = ask(Method::POST, "/v1/crm/leads").json(&json!({ "name": "Eve" }));
    let missing = |request| (request, StatusCode::FORBIDDEN, "permission_missing");
    refuses(&world, vec![missing(others), missing(leads)]).await;
    let erased = ask(Method::POST, "/v1/user/me/erase").json(&json!({ "email": "ada@example.com" }));
    assert_eq!(Answer::of(erased).await.status, StatusCode::OK);
}

#[tokio::test]
async fn what_a_machine_may_and_might_is_told_as_of_people() {
    let world = World::start().await;
    let unborn = SystemClock.now();
    let machine = Machine::register(&world, "m", &["viewer"]).await;
    let before = SystemClock.now();
    let change = json!({ "name": "m", "roles": ["auditor"] });
    let changed = world.post(&format!("/v1/auth/machines/{}/change", machine.id), change).await;
    assert_eq!(changed.status, StatusCode::OK, "{changed:?}");
    let ask = async |fields: String| {
        let position = format!("auth={}", world.head_of_all(&world.auth).await);
        let request = world.request(Method::POST, "/graphql").header("x-min-position", position);
        let mut answer = Answer::of(request.json(&json!({ "query": format!("{{ user {{ {fields} }} }}") }))).await;
        assert!(answer.body["errors"].is_null(), "{answer:?}");
        answer.body["data"]["user"].take()
    };
    let access = async |at: String| {
        ask(format!("access(userId: \"{}\"{at}) {{ roles permissions {{ name by }} }}", machine.id)).await["access"]
            .take()
    };
    let as_of = |at: chrono::DateTime<chrono::Utc>| {
        format!(", asOf: \"{}\"", at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true))
    };
    let now = access(String::new()).await;
    assert_eq!(now["roles"], json!(["auditor"]));
    let history = json!({ "name": "auth:history:read", "by": ["auditor"] });
    assert!(now["permissions"].as_array().unwrap().contains(&history), "{now}");
    assert_eq!(access(as_of(before)).await["roles"], json!(["viewer"]));
    assert_eq!(access(as_of(unborn)).await, Value::Null);
    // An access review shows it, too.
    let from = before.to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
    let fields = "changes { userId user { id } gained lost } endCursor";
    let review = ask(format!("accessChanges(from: \"{from}\", first: 100) {{ {fields} }}")).await;
    let changes = review["accessChanges"]["changes"].as_array().unwrap();
    let of_it = changes.iter().find(|change| change["userId"] == machine.id.as_str()).unwrap();
    assert_eq!(of_it["user"], Value::Null);
    assert!(of_it["gained"].as_array().unwrap().contains(&json!("auth:history:read")), "{of_it}");

    let off = world.post(&format!("/v1/auth/machines/{}/deactivate", machine.id), json!({})).await;
    assert_eq!(off.status, StatusCode::OK, "{off:?}");
    assert_eq!(access(String::new()).await, json!({ "roles": [], "permissions": [] }));
}
