//! Imports of large files by jobs: each wrong row is reported, and the others are imported.

use kernel::Role;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::{ConnectOptions, Executor};
use testbed::eventually;

use crate::issuers::Machine;
use crate::jobs::{until, until_at};
use crate::world::{Answer, World};

fn upload(world: &World, file: impl Into<reqwest::Body>) -> reqwest::RequestBuilder {
    world.request(Method::POST, "/v1/crm/imports?source=campaign").header("content-type", "text/csv").body(file)
}

#[tokio::test]
async fn a_large_file_is_imported_by_a_job_and_each_row_that_is_wrong_is_named() {
    let world = World::start().await;
    let names: Vec<_> = (0..1_200).map(|n| format!("Lead {n},\n")).collect();
    let file = format!("name,email\n{}=1,\nAda,nobody\n", names.concat());
    let keyed = || upload(&world, file.clone()).header("idempotency-key", "i1");
    let asked = Answer::of(keyed()).await;
    assert_eq!(asked.status, StatusCode::CREATED, "{asked:?}");
    let id = asked.body["id"].as_str().unwrap().to_owned();
    assert_eq!(asked.header("location"), format!("/v1/jobs/crm/{id}"));
    let job = until(&world, &id, "completed").await;
    assert_eq!(
        (&job["kind"], &job["queue"], &job["done"], &job["total"]),
        (&json!("import_leads"), &json!("imports"), &json!(1202), &json!(1202))
    );
    let result = &job["result"];
    assert_eq!(
        (&result["rows"], &result["taken"], &result["refused"]),
        (&json!(1202), &json!(1200), &json!(2)),
        "{job}"
    );
    let errors = world.request(Method::GET, &format!("/v1/jobs/crm/{id}/output")).send().await.unwrap();
    let errors = errors.text().await.unwrap();
    let lines: Vec<_> = errors.lines().collect();
    assert_eq!((lines.len(), lines[0]), (3, "line,column,code,detail"), "{errors}");
    assert!(lines[1].starts_with("1202,name,formula,") && lines[2].starts_with("1203,email,email,"), "{errors}");
    // It is listed like every other import.
    let import = world.get(&format!("/v1/crm/imports/{}", result["import_id"].as_str().unwrap())).await;
    assert_eq!((&import.body["taken"], &import.body["revert"]), (&json!(1200), &json!("none")), "{import:?}");
    let again = Answer::of(keyed()).await;
    assert_eq!((&again.body["id"], again.header("idempotency-replayed")), (&json!(id), "true"));

    let head = world.head().await;
    let member = world.anonymous(Method::POST, "/v1/crm/imports").bearer_auth(world.token(&[Role::Member]));
    let dated = world.anonymous(Method::POST, "/v1/crm/imports").bearer_auth(world.token(&[Role::Manager]));
    let csv =
        |request: reqwest::RequestBuilder, file: &'static str| request.header("content-type", "text/csv").body(file);
    let bad = StatusCode::BAD_REQUEST;
    world
        .refuses(vec![
            (csv(member, "name\nAda\n"), StatusCode::FORBIDDEN, "permission_missing"),
            (csv(dated, "name,occurred_at\nAda,2026-01-01T00:00:00Z\n"), StatusCode::FORBIDDEN, "permission_missing"),
            (upload(&world, ""), bad, "csv_empty"),
            (upload(&world, "name\n\"Ada\n"), bad, "csv_unterminated_quote"),
            (
                upload(&world, "name\nAda\n").header("idempotency-key", "i1"),
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency_key_reused",
            ),
        ])
        .await;
    let all = world.get("/v1/jobs/crm").await;
    assert_eq!(all.body["jobs"].as_array().unwrap().len(), 1, "a refusal made a job: {all:?}");
    assert_eq!(world.head().await, head);
}

#[tokio::test]
async fn a_large_file_of_users_is_imported_by_a_job_and_each_row_that_is_wrong_is_named() {
    let world = World::start().await;
    let names: Vec<_> = (0..250).map(|n| format!("user{n}@example.com,User {n},viewer\n")).collect();
    let file = format!("email,name,roles\n{}user7@example.com,Again,\nx@example.com,X,emperor\n", names.concat());
    let start = |query: &str, file: &str| {
        let request = world.request(Method::POST, &format!("/v1/user/imports{query}"));
        request.header("content-type", "text/csv").body(file.to_owned())
    };
    let asked = Answer::of(start("", &file).header("idempotency-key", "u1")).await;
    assert_eq!(asked.status, StatusCode::CREATED, "{asked:?}");
    let path = asked.header("location").to_owned();
    assert_eq!(path, format!("/v1/jobs/user/{}", asked.body["id"].as_str().unwrap()));
    let job = until_at(&world, &path, "completed").await;
    let result = &job["result"];
    let counts = ["rows", "taken", "refused", "error_count"].map(|name| result[name].as_u64().unwrap());
    assert_eq!((&job["kind"], counts), (&json!("import_users"), [252, 250, 2, 2]), "{job}");
    let errors = world.request(Method::GET, &format!("{path}/output")).send().await.unwrap().text().await.unwrap();
    let lines: Vec<_> = errors.lines().collect();
    assert_eq!(lines.len(), 3, "{errors}");
    assert!(
        lines[1].starts_with("252,email,duplicate_in_file,") && lines[2].starts_with("253,roles,not_found,"),
        "{errors}"
    );
    let import = world.get(&format!("/v1/user/imports/{}", result["import_id"].as_str().unwrap())).await;
    assert_eq!((&import.body["kind"], &import.body["taken"]), (&json!("users"), &json!(250)), "{import:?}");

    // A job of a caller who may not create administrators does not create any, even if it runs later.
    let manager = world.anonymous(Method::POST, "/v1/user/imports").bearer_auth(world.token(&[Role::Manager]));
    let manager = manager.header("content-type", "text/csv").body("email,name,roles\nroot@example.com,Root,admin\n");
    let asked = Answer::of(manager).await;
    let path = asked.header("location").to_owned();
    let job = until_at(&world, &path, "completed").await;
    assert_eq!((&job["result"]["taken"], &job["result"]["import_id"]), (&json!(0), &Value::Null), "{job}");
    let errors = world.request(Method::GET, &format!("{path}/output")).send().await.unwrap().text().await.unwrap();
    assert!(errors.lines().nth(1).unwrap().starts_with("2,roles,exceeds_own_permissions,"), "{errors}");

    let member = world.anonymous(Method::POST, "/v1/user/imports").bearer_auth(world.token(&[Role::Member]));
    let member = member.header("content-type", "text/csv").body("email,name\na@example.com,A\n");
    let bad = StatusCode::BAD_REQUEST;
    world
        .refuses(vec![
            (member, StatusCode::FORBIDDEN, "permission_missing"),
            (start("", "email\na@example.com\n"), bad, "csv_missing_column"),
            (start("?into=invitations", "email,locale\na@example.com,de\n"), bad, "csv_column_not_of_invitations"),
            (start("?into=robots", "email,name\na@example.com,A\n"), bad, "parameter_invalid"),
        ])
        .await;
}

#[tokio::test]
async fn of_a_file_without_a_good_row_nothing_is_written_and_all_is_said() {
    let world = World::start().await;
    let head = world.head().await;
    let asked = Answer::of(upload(&world, "name\n=1\n=2\n")).await;
    let id = asked.body["id"].as_str().unwrap();
    let job = until(&world, id, "completed").await;
    assert_eq!((&job["result"]["import_id"], &job["result"]["refused"]), (&Value::Null, &json!(2)), "{job}");
    assert!(job["log"].to_string().contains("none of 2 rows was imported"), "{job}");
    let errors = world.request(Method::GET, &format!("/v1/jobs/crm/{id}/output")).send().await.unwrap();
    assert_eq!(errors.text().await.unwrap().lines().count(), 3);
    assert_eq!(world.head().await, head);
}

/// Begins an import of 30,000 leads, so many that it is still being imported when something happens to it. Returns the path of its job and
/// the id of the import.
async fn long_import(world: &World) -> (String, String) {
    let names: Vec<_> = (0..30_000).map(|n| format!("Lead {n}\n")).collect();
    let asked = Answer::of(upload(world, format!("name\n{}", names.concat()))).await;
    let job = asked.header("location").to_owned();
    let import = eventually("the job says the id of its import", async || {
        let log = world.get(&job).await.body["log"].clone();
        let mut messages = log.as_array()?.iter().filter_map(|line| line["message"].as_str());
        messages.find_map(|message| message.strip_prefix("the id of the import is ").map(str::to_owned))
    })
    .await;
    (job, import)
}

/// Reverts an import that is known by its leads only.
async fn revert_unrecorded(world: &World, path: &str) {
    eventually("the read models show its leads", async || {
        let asked = world.post(&format!("{path}/revert"), json!({ "reason": "the wrong list" })).await;
        (asked.status == StatusCode::OK).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_running_import_that_is_reverted_ends_its_job_at_once_as_cancelled() {
    let world = World::start().await;
    let (job, import) = long_import(&world).await;
    revert_unrecorded(&world, &format!("/v1/crm/imports/{import}")).await;
    let ended = until_at(&world, &job, "cancelled").await;
    let log = ended["log"].to_string();
    assert!(log.contains("the import is reverted, so no further rows are imported"), "{log}");
    assert!(!log.contains("import_already_reverted"), "it was tried again: {log}");
}

#[tokio::test]
async fn an_import_that_was_cancelled_is_reverted_like_any_other() {
    let world = World::start().await;
    let (job, import) = long_import(&world).await;
    done(&world, &format!("{job}/cancel"), json!({})).await;
    let cancelled = until_at(&world, &job, "cancelled").await;
    let rows = cancelled["done"].as_u64().unwrap();
    assert!((1..30_000).contains(&rows), "{cancelled}");

    let path = format!("/v1/crm/imports/{import}");
    assert_eq!(world.get(&path).await.status, StatusCode::NOT_FOUND, "it was not completed");
    revert_unrecorded(&world, &path).await;
    eventually("it is reverted", async || (world.get(&path).await.body["revert"] == "done").then_some(())).await;
    let leads = |status: &str| {
        format!("{status}: leads(filter: {{importId: \"{import}\", status: {status}}}) {{ totalCount }}")
    };
    let query = format!("{{ crm {{ {} {} }} }}", leads("NEW"), leads("WITHDRAWN"));
    eventually("its leads are withdrawn", async || {
        let seen = world.post("/graphql", json!({ "query": query })).await.body["data"]["crm"].clone();
        let withdrawn = seen["WITHDRAWN"]["totalCount"].as_u64()?;
        (seen["NEW"]["totalCount"] == 0 && withdrawn >= rows).then_some(())
    })
    .await;
}

#[tokio::test]
async fn read_models_that_do_not_answer_are_the_same_refusal_in_rest_and_graphql() {
    let world = World::start().await;
    let mut tables = world.of("crm").superuser().connect().await.unwrap();
    // Every transaction on the read models locks it.
    tables.execute("ALTER TABLE projector.swaps RENAME TO unknown").await.unwrap();
    let path = "/v1/crm/imports/0192f0c4-0000-7000-8000-000000000000/revert";
    let revert = world.request(Method::POST, path).json(&json!({ "reason": "the wrong list" }));
    world.refuses(vec![(revert, StatusCode::SERVICE_UNAVAILABLE, "read_models_unavailable")]).await;
    let asked = world.post("/graphql", json!({ "query": "{ crm { leads { totalCount } } }" })).await;
    assert_eq!(asked.body["errors"][0]["extensions"]["code"], "read_models_unavailable", "{asked:?}");
}

/// Submits a file of leads as the bearer of a token, and returns the job's path.
async fn start(world: &World, token: String, file: impl Into<reqwest::Body>) -> String {
    let request = world.anonymous(Method::POST, "/v1/crm/imports").bearer_auth(token);
    let asked = Answer::of(request.header("content-type", "text/csv").body(file)).await;
    assert_eq!(asked.status, StatusCode::CREATED, "{asked:?}");
    asked.header("location").to_owned()
}

/// Registers a user with these roles, and returns their id.
async fn user(world: &World, name: &str, roles: &[&str]) -> String {
    let new = json!({ "name": name, "email": format!("{name}@example.com"), "roles": roles });
    let made = world.post("/v1/user/users", new).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    made.body["id"].as_str().unwrap().to_owned()
}

/// POSTs as this tenant's administrator, and expects success.
async fn done(world: &World, path: &str, body: Value) {
    let answer = world.post(path, body).await;
    assert_eq!(answer.status, StatusCode::OK, "{path}: {answer:?}");
}

#[tokio::test]
async fn attack_164_whoever_is_locked_imports_no_further_rows() {
    let world = World::start().await;
    let ada = user(&world, "ada", &["manager"]).await;
    // So many that it is still being imported when its requester is locked.
    let names: Vec<_> = (0..30_000).map(|n| format!("Lead {n}\n")).collect();
    let job = start(&world, world.token_of_user(&ada), format!("name\n{}", names.concat())).await;
    let imported = async |more_than: u64| {
        eventually(&format!("more than {more_than} rows are imported"), async || {
            world.get(&job).await.body["done"].as_u64().filter(|done| *done > more_than)
        })
        .await
    };
    imported(0).await;
    done(&world, &format!("/v1/user/users/{ada}/lock"), json!({ "reason": "left in anger" })).await;
    let stopped = until_at(&world, &job, "discarded").await;
    assert_eq!(stopped["code"], "importer_inactive", "{stopped}");
    let stopped = stopped["done"].as_u64().unwrap();
    assert!((1..30_000).contains(&stopped), "{stopped}");

    // A retry by an administrator does not give the import the permissions of that one.
    let head = world.head_of(&world.database).await;
    done(&world, &format!("{job}/retry"), json!({})).await;
    assert_eq!(until_at(&world, &job, "discarded").await["code"], "importer_inactive");
    assert_eq!(world.head_of(&world.database).await, head, "a row was imported");

    done(&world, &format!("/v1/user/users/{ada}/unlock"), json!({})).await;
    done(&world, &format!("{job}/retry"), json!({})).await;
    imported(stopped).await;
    done(&world, &format!("{job}/cancel"), json!({})).await;
    until_at(&world, &job, "cancelled").await;
}

#[tokio::test]
async fn attack_164_an_import_of_leads_does_nothing_that_its_requester_may_not_do_any_more() {
    let world = World::start().await;
    let historian = json!({ "name": "historian", "title": "Historian", "permissions": ["crm:history:backdate"] });
    assert_eq!(world.post("/v1/user/roles", historian).await.status, StatusCode::CREATED);
    let ada = user(&world, "ada", &["manager", "historian"]).await;
    let bob = user(&world, "bob", &["manager"]).await;
    let machine = Machine::register(&world, "importer", &["manager"]).await;
    let at_machine = |what: &str| format!("/v1/auth/machines/{}/{what}", machine.id);
    done(&world, "/v1/jobs/crm/queues/imports/pause", json!({})).await;
    let dated = "name,occurred_at\nAda,2026-01-01T00:00:00Z\n";
    let dated = start(&world, world.token_of_user(&ada), dated).await;
    let of_bob = start(&world, world.token_of_user(&bob), "name\nBob\n").await;
    let of_machine = start(&world, machine.token(&world).await, "name\nEve\n").await;

    done(&world, &format!("/v1/user/users/{ada}/revoke-role"), json!({ "role": "historian" })).await;
    done(&world, &format!("/v1/user/users/{bob}/revoke-role"), json!({ "role": "manager" })).await;
    done(&world, &at_machine("deactivate"), json!({})).await;
    let head = world.head_of(&world.database).await;
    done(&world, "/v1/jobs/crm/queues/imports/resume", json!({})).await;
    for (job, code, reason) in [
        (&dated, "importer_not_allowed", "crm:history:backdate"),
        (&of_bob, "importer_not_allowed", "crm:import:write"),
        (&of_machine, "importer_inactive", "sign in"),
    ] {
        let stopped = until_at(&world, job, "discarded").await;
        assert_eq!(stopped["code"], code, "{stopped}");
        assert!(stopped["reason"].as_str().unwrap().contains(reason), "{stopped}");
    }
    assert_eq!(world.head_of(&world.database).await, head, "a row was imported");

    // What they still may, they import, and the others continue when they may again.
    let plain = start(&world, world.token_of_user(&ada), "name\nGrace\n").await;
    assert_eq!(until_at(&world, &plain, "completed").await["result"]["taken"], 1);
    done(&world, &format!("/v1/user/users/{ada}/grant-role"), json!({ "role": "historian" })).await;
    done(&world, &format!("/v1/user/users/{bob}/grant-role"), json!({ "role": "manager" })).await;
    done(&world, &at_machine("reactivate"), json!({})).await;
    for job in [&dated, &of_bob, &of_machine] {
        done(&world, &format!("{job}/retry"), json!({})).await;
    }
    for job in [&dated, &of_bob, &of_machine] {
        let completed = until_at(&world, job, "completed").await;
        assert_eq!(completed["result"]["taken"], 1, "{completed}");
    }
}
