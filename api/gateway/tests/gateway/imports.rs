//! Imports of large files by jobs: each wrong row is reported, and the others are imported.

use kernel::Role;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

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
