//! Exports of leads by jobs: requested, listed, downloaded, cancelled.

use kernel::Role;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testbed::eventually;

use crate::jobs::{leads, shown, until};
use crate::world::{Answer, World};

/// Callers without the permission for a job, for its file, for others' jobs or for requesting one are refused.
async fn who_may_not_is_refused(world: &World, path: &str) {
    let as_role = |role, method, path: &str| world.anonymous(method, path).bearer_auth(world.token(&[role]));
    let stranger = |method, path: &str| world.anonymous(method, path).bearer_auth(world.stranger());
    world
        .refuses(vec![
            (
                as_role(Role::Auditor, Method::GET, &format!("{path}/output")),
                StatusCode::FORBIDDEN,
                "permission_missing",
            ),
            (as_role(Role::Member, Method::GET, path), StatusCode::FORBIDDEN, "permission_missing"),
            (as_role(Role::Viewer, Method::GET, "/v1/jobs/crm"), StatusCode::FORBIDDEN, "permission_missing"),
            (
                as_role(Role::Viewer, Method::GET, "/v1/jobs/crm?kind=export_lead"),
                StatusCode::FORBIDDEN,
                "permission_missing",
            ),
            (
                as_role(Role::Member, Method::POST, "/v1/crm/leads/export").json(&json!({})),
                StatusCode::FORBIDDEN,
                "permission_missing",
            ),
            (
                as_role(Role::Auditor, Method::POST, &format!("{path}/cancel")),
                StatusCode::FORBIDDEN,
                "permission_missing",
            ),
            (stranger(Method::GET, path), StatusCode::NOT_FOUND, "not_found"),
            (stranger(Method::GET, &format!("{path}/output")), StatusCode::NOT_FOUND, "not_found"),
            (stranger(Method::POST, &format!("{path}/retry")), StatusCode::NOT_FOUND, "not_found"),
        ])
        .await;
}

/// Commands that a finished job does not allow, and requests that are invalid for everybody.
async fn what_cannot_be_asked_of_it_is_refused(world: &World, path: &str) {
    let post = |what: &str| world.request(Method::POST, &format!("{path}/{what}"));
    let bad = StatusCode::BAD_REQUEST;
    world
        .refuses(vec![
            (post("cancel"), StatusCode::CONFLICT, "job_over"),
            (post("retry"), StatusCode::CONFLICT, "job_not_retryable"),
            (post("retry").header("if-match", "\"1\""), bad, "header_invalid"),
            (world.request(Method::GET, "/v1/jobs/erp"), StatusCode::NOT_FOUND, "not_found"),
            (world.request(Method::GET, "/v1/jobs/crm?state=asleep"), bad, "parameter_invalid"),
            (world.request(Method::GET, "/v1/jobs/crm?limit=201"), bad, "parameter_invalid"),
            (world.request(Method::GET, "/v1/jobs/crm?kind=export_lead"), bad, "parameter_invalid"),
            (world.request(Method::GET, "/v1/jobs/crm?queue=export"), bad, "parameter_invalid"),
            (
                world.request(Method::POST, "/v1/crm/leads/export").json(&json!({ "owner": "" })),
                bad,
                "validation_failed",
            ),
            (
                world.request(Method::POST, "/v1/crm/leads/export").json(
                    &json!({ "captured_from": "2026-02-01T00:00:00Z", "captured_before": "2026-01-01T00:00:00Z" }),
                ),
                bad,
                "validation_failed",
            ),
            (
                world.request(Method::POST, "/v1/crm/leads/export").json(&json!({ "colour": "red" })),
                bad,
                "validation_failed",
            ),
        ])
        .await;
}

#[tokio::test]
async fn leads_are_exported_by_a_job_whose_file_only_those_get_who_may() {
    let world = World::start().await;
    leads(&world, "name,company,source\nAda,Analytical,referral\nGrace,\"Navy, US\",event\nEdsger,,website\n").await;
    let asked = world.post("/v1/crm/leads/export", json!({ "source": ["referral", "event"] })).await;
    assert_eq!(asked.status, StatusCode::CREATED, "{asked:?}");
    let id = asked.body["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/jobs/crm/{id}");
    assert_eq!(asked.header("location"), path);
    let job = until(&world, &id, "completed").await;
    assert_eq!((&job["kind"], &job["done"], &job["total"]), (&json!("export_leads"), &json!(2), &json!(2)), "{job}");
    assert_eq!(job["result"], json!({ "leads": 2 }));
    assert_eq!(job["log"][0]["message"], "2 leads, 0 of them exported earlier");

    let file = world.request(Method::GET, &format!("{path}/output")).send().await.unwrap();
    assert_eq!(file.headers()["content-type"], "text/csv; charset=utf-8");
    let file = file.text().await.unwrap();
    let lines: Vec<_> = file.lines().collect();
    assert_eq!(
        lines[0],
        "id,name,company,title,email,phone,country,source,status,owner,captured_at,street,locality,region,postal_code,address_country"
    );
    assert_eq!(lines.len(), 3, "{file}");
    assert!(file.contains(",Ada,Analytical,,,,,referral,new,") && file.contains(",Grace,\"Navy, US\",,,,,event,new,"));

    let list = world.get("/v1/jobs/crm?state=completed&kind=export_leads&limit=1").await;
    assert_eq!((&list.body["jobs"][0]["id"], &list.body["next"]), (&json!(id), &Value::Null), "{list:?}");
    let none = world.get("/v1/jobs/crm?state=discarded").await;
    assert_eq!(none.body["jobs"], json!([]));
    // The metric is updated a moment after the job's state.
    eventually("the attempt is counted", async || {
        let metrics = world.anonymous(Method::GET, "/metrics").send().await.unwrap().text().await.unwrap();
        let counts = |outcome: &str, count: u32| {
            let labels = r#"service="crm",kind="export_leads""#;
            metrics.contains(&format!(r#"inopsio_job_attempts_total{{{labels},outcome="{outcome}"}} {count}"#))
        };
        // What was not given up counts 0, so that an alert sees the first that is.
        (counts("completed", 1) && counts("discarded", 0)).then_some(())
    })
    .await;

    who_may_not_is_refused(&world, &path).await;
    what_cannot_be_asked_of_it_is_refused(&world, &path).await;
    let all = world.get("/v1/jobs/crm").await;
    assert_eq!(all.body["jobs"].as_array().unwrap().len(), 1, "a refusal made or changed a job: {all:?}");
    assert_eq!(until(&world, &id, "completed").await, job);
}

#[tokio::test]
async fn the_same_request_for_an_export_makes_one_job() {
    let world = World::start().await;
    let ask = || world.request(Method::POST, "/v1/crm/leads/export").header("idempotency-key", "e1").json(&json!({}));
    let (first, again) = (Answer::of(ask()).await, Answer::of(ask()).await);
    assert_eq!(first.body["id"], again.body["id"]);
    assert_eq!(again.header("idempotency-replayed"), "true");
    let other = world.request(Method::POST, "/v1/crm/leads/export").header("idempotency-key", "e1");
    let other = other.json(&json!({ "owner": "ada" }));
    world.refuses(vec![(other, StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused")]).await;
    let id = first.body["id"].as_str().unwrap();
    until(&world, id, "completed").await;
    let file = world.request(Method::GET, &format!("/v1/jobs/crm/{id}/output")).send().await.unwrap();
    assert_eq!(file.text().await.unwrap().lines().count(), 1, "only the header");
    assert_eq!(world.get("/v1/jobs/crm").await.body["jobs"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn an_export_of_several_steps_has_each_lead_once() {
    let world = World::start().await;
    let names: Vec<_> = (0..2100).map(|n| format!("Lead {n}")).collect();
    leads(&world, format!("name\n{}\n", names.join("\n"))).await;
    let asked = world.post("/v1/crm/leads/export", json!({})).await;
    let id = asked.body["id"].as_str().unwrap();
    let job = until(&world, id, "completed").await;
    assert_eq!((&job["done"], &job["total"]), (&json!(2100), &json!(2100)), "{job}");
    let file = world.request(Method::GET, &format!("/v1/jobs/crm/{id}/output")).send().await.unwrap();
    let file = file.text().await.unwrap();
    let exported: std::collections::BTreeSet<_> =
        file.lines().skip(1).map(|line| line.split(',').nth(1).unwrap().to_owned()).collect();
    assert_eq!((file.lines().count(), exported), (2101, names.into_iter().collect()));
}

#[tokio::test]
async fn no_cell_of_an_exported_file_is_a_formula() {
    let world = World::start().await;
    let hostile = json!({ "name": "=HYPERLINK(\"http://x\",\"y\")", "company": "@properties", "title": "-1+1", "phone": "+4930123456",
        "address": { "street": "=1+1", "locality": "London", "postal_code": "-1", "country": "GB" } });
    let captured = world.post("/v1/crm/leads", hostile).await;
    assert_eq!(captured.status, StatusCode::CREATED, "{captured:?}");
    shown(&world, captured.header("x-position")).await;
    let asked = world.post("/v1/crm/leads/export", json!({})).await;
    let id = asked.body["id"].as_str().unwrap();
    let job = until(&world, id, "completed").await;
    assert_eq!(job["done"], 1, "{job}");
    let file =
        world.request(Method::GET, &format!("/v1/jobs/crm/{id}/output")).send().await.unwrap().text().await.unwrap();
    let cells = ",\"'=HYPERLINK(\"\"http://x\"\",\"\"y\"\")\",'@properties,'-1+1,,+4930123456,";
    assert!(file.contains(cells), "{file}");
    assert!(file.ends_with(",'=1+1,London,,'-1,GB\n"), "{file}");
}

#[tokio::test]
async fn an_exported_file_can_be_imported_as_it_is() {
    let world = World::start().await;
    let full = json!({ "name": "Ada Lovelace", "company": "@properties", "title": "Countess", "email": "ada@example.com",
        "phone": "+442079460958", "country": "GB", "source": "referral", "owner": "grace",
        "address": { "street": "12 St James's Square\nFlat 3", "locality": "London", "region": "London",
            "postal_code": "SW1Y 4JH", "country": "FR" } });
    let captured = world.post("/v1/crm/leads", full).await;
    assert_eq!(captured.status, StatusCode::CREATED, "{captured:?}");
    leads(&world, "name\nEdsger\n").await;
    let asked = world.post("/v1/crm/leads/export", json!({})).await;
    let id = asked.body["id"].as_str().unwrap();
    until(&world, id, "completed").await;
    let file =
        world.request(Method::GET, &format!("/v1/jobs/crm/{id}/output")).send().await.unwrap().text().await.unwrap();

    let elsewhere = world.stranger();
    let upload = world.anonymous(Method::POST, "/v1/crm/leads/import").bearer_auth(&elsewhere);
    let imported = Answer::of(upload.header("content-type", "text/csv").body(file)).await;
    assert_eq!((imported.status, &imported.body["taken"]), (StatusCode::OK, &json!(2)), "{imported:?}");
    let query = "{ crm { leads(first: 10, orderBy: OLDEST) { nodes { name company title email phone country source status owner \
                 capturedAt address { street locality region postalCode country } } } } }";
    let seen = async |request: reqwest::RequestBuilder| {
        let request = request.header("x-min-position", imported.header("x-position"));
        let answer = Answer::of(request.json(&json!({ "query": query }))).await;
        answer.body["data"]["crm"]["leads"]["nodes"].clone()
    };
    let there = seen(world.anonymous(Method::POST, "/graphql").bearer_auth(&elsewhere)).await;
    assert_eq!(there, seen(world.request(Method::POST, "/graphql")).await);
    assert_eq!((&there[0]["name"], &there[0]["company"]), (&json!("Ada Lovelace"), &json!("@properties")), "{there}");
}
