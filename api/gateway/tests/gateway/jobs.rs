//! Jobs end to end: schedules, queues and batches, rebuilt read models, jobs of all services.

use kernel::Role;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testbed::eventually;

use crate::world::{Answer, World};

/// Imports leads with these names and waits until the list shows them.
pub async fn leads(world: &World, file: impl Into<reqwest::Body>) {
    let upload = world.request(Method::POST, "/v1/crm/leads/import").header("content-type", "text/csv").body(file);
    let answer = Answer::of(upload).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    shown(world, answer.header("x-position")).await;
}

/// Waits until the list of leads has reached this position.
pub async fn shown(world: &World, position: &str) {
    let query = world.request(Method::POST, "/graphql").header("x-min-position", position);
    let answer = Answer::of(query.json(&json!({ "query": "{ crm { leads(first: 1) { totalCount } } }" }))).await;
    assert_eq!(answer.body["errors"], Value::Null, "{answer:?}");
}

/// Waits until a job of CRM is in this state.
pub async fn until(world: &World, id: &str, state: &str) -> Value {
    until_at(world, &format!("/v1/jobs/crm/{id}"), state).await
}

/// Waits until the job at this path is in this state.
pub async fn until_at(world: &World, path: &str, state: &str) -> Value {
    eventually(&format!("the job is {state}"), async || {
        let job = world.get(path).await;
        assert_eq!(job.status, StatusCode::OK, "{job:?}");
        Some(job.body).filter(|job| job["state"] == state)
    })
    .await
}

#[tokio::test]
async fn a_schedule_is_made_shown_changed_paused_and_removed() {
    let world = World::start().await;
    let new = json!({ "kind": "export_leads", "arguments": { "status": ["qualified"] }, "cron": "0 6 * * *", "time_zone": "Europe/Berlin" });
    let made = world.post("/v1/jobs/crm/schedules", new.clone()).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let id = made.body["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/jobs/crm/schedules/{id}");
    assert_eq!(made.header("location"), path);
    let shown = world.get(&path).await.body;
    let next: Vec<_> = shown["next"].as_array().unwrap().iter().map(|time| time.as_str().unwrap()).collect();
    assert_eq!((next.len(), &shown["paused"], &shown["actor"]), (5, &json!(false), &json!("ada")), "{shown}");
    assert!(next.iter().all(|time| time.contains("T04:00:00") || time.contains("T05:00:00")), "{next:?}");
    let query = format!(
        "{{ jobs {{ schedules {{ id cron paused next(first: 2) }} schedule(id: \"{id}\") {{ kind timeZone }} }} }}"
    );
    let asked = world.post("/graphql", json!({ "query": query })).await;
    let found = &asked.body["data"]["jobs"];
    assert_eq!(
        (&found["schedules"][0]["id"], &found["schedule"]["timeZone"]),
        (&json!(id), &json!("Europe/Berlin")),
        "{asked:?}"
    );
    assert_eq!(found["schedules"][0]["next"].as_array().unwrap().len(), 2);

    let changed = world.post(&format!("{path}/change"), json!({ "cron": "0 7 * * *" })).await;
    assert_eq!((changed.status, &changed.body["id"]), (StatusCode::OK, &json!(id)), "{changed:?}");
    world.post(&format!("{path}/pause"), json!({})).await;
    let paused = world.get(&path).await.body;
    assert_eq!((&paused["paused"], &paused["next"], &paused["cron"]), (&json!(true), &json!([]), &json!("0 7 * * *")));
    world.post(&format!("{path}/resume"), json!({})).await;
    assert_eq!(world.get(&path).await.body["paused"], false);
    let before = world.get("/v1/jobs/crm/schedules").await.body;

    let post =
        |what: &str, body: Value| world.request(Method::POST, &format!("/v1/jobs/crm/schedules{what}")).json(&body);
    let with = |name: &str, value: Value| {
        let mut body = new.clone();
        body[name] = value;
        post("", body)
    };
    let stranger = |what: &str| {
        world.anonymous(Method::POST, &format!("{path}/{what}")).bearer_auth(world.stranger()).json(&json!({}))
    };
    let bad = StatusCode::BAD_REQUEST;
    let backwards = json!({ "captured_from": "2026-02-01T00:00:00Z", "captured_before": "2026-01-01T00:00:00Z" });
    let named = Answer::of(with("arguments", backwards.clone())).await;
    assert_eq!(named.body["errors"][0]["pointer"], "/arguments/captured_before", "as an export by itself is refused");
    let day = Answer::of(with("arguments", json!({ "captured_from": "2026-01-01" }))).await;
    let said = day.body["errors"][0]["detail"].as_str().unwrap();
    assert!(said.contains("a time has the form of RFC 3339"), "what is allowed: {said}");
    world
        .refuses(vec![
            (with("cron", json!("at six")), bad, "validation_failed"),
            (with("cron", json!("0 0 31 2 *")), bad, "validation_failed"),
            (with("time_zone", json!("Mars/Olympus")), bad, "validation_failed"),
            (with("kind", json!("import_leads")), bad, "job_kind_unknown"),
            (with("arguments", json!({ "colour": "red" })), bad, "validation_failed"),
            (with("arguments", json!([])), bad, "validation_failed"),
            (with("arguments", json!({ "owner": "" })), bad, "validation_failed"),
            (with("arguments", backwards.clone()), bad, "validation_failed"),
            (with("colour", json!("red")), bad, "validation_failed"),
            (post(&format!("/{id}/change"), json!({ "cron": "x" })), bad, "validation_failed"),
            (stranger("change"), StatusCode::NOT_FOUND, "not_found"),
            (stranger("pause"), StatusCode::NOT_FOUND, "not_found"),
            (stranger("resume"), StatusCode::NOT_FOUND, "not_found"),
            (stranger("remove"), StatusCode::NOT_FOUND, "not_found"),
        ])
        .await;
    assert_eq!(world.get("/v1/jobs/crm/schedules").await.body, before);
    world.post(&format!("{path}/remove"), json!({})).await;
    assert_eq!(world.get(&path).await.status, StatusCode::NOT_FOUND);
    assert_eq!(world.get("/v1/jobs/crm/schedules").await.body, json!({ "schedules": [] }));
}

#[tokio::test]
async fn a_queue_is_paused_and_limited_and_jobs_wait_there() {
    let world = World::start().await;
    let paused = world.post("/v1/jobs/crm/queues/exports/pause", json!({})).await;
    assert_eq!((paused.status, &paused.body["queue"]), (StatusCode::OK, &json!("exports")), "{paused:?}");
    let limit = json!({ "concurrency": 1, "rate": { "count": 60, "seconds": 60 } });
    world.post("/v1/jobs/crm/queues/exports/limit", limit.clone()).await;
    let asked = world.post("/v1/crm/leads/export", json!({})).await;
    let id = asked.body["id"].as_str().unwrap().to_owned();
    let queues = world.get("/v1/jobs/crm/queues").await.body;
    let exports = queues["queues"].as_array().unwrap().iter().find(|queue| queue["name"] == "exports").unwrap().clone();
    assert_eq!(
        (&exports["waiting"], &exports["rate"], &exports["concurrency"]),
        (&json!(1), &limit["rate"], &json!(1)),
        "{queues}"
    );
    assert!(exports["paused_at"].is_string() && exports["changed_by"] == "ada", "{exports}");
    let query = "{ jobs { queues { name pausedAt concurrency rateCount waiting } jobs(queue: \"exports\", state: AVAILABLE) { totalCount nodes { id state } } } }";
    let shown = world.post("/graphql", json!({ "query": query })).await;
    let shown = &shown.body["data"]["jobs"];
    assert_eq!(
        (&shown["queues"][0]["name"], &shown["queues"][0]["waiting"]),
        (&json!("exports"), &json!("1")),
        "{shown}"
    );
    let waiting = json!({ "totalCount": 1, "nodes": [{ "id": id, "state": "AVAILABLE" }] });
    assert_eq!(shown["jobs"], waiting, "{shown}");
    let post =
        |what: &str, body: Value| world.request(Method::POST, &format!("/v1/jobs/crm/queues/{what}")).json(&body);
    let bad = StatusCode::BAD_REQUEST;
    world
        .refuses(vec![
            (post("exports/limit", json!({ "concurrency": 0 })), bad, "validation_failed"),
            (post("exports/limit", json!({ "rate": { "count": 1 } })), bad, "validation_failed"),
            (post("nothing/pause", json!({})), StatusCode::NOT_FOUND, "not_found"),
        ])
        .await;
    assert_eq!(world.get("/v1/jobs/crm/queues").await.body, queues);
    world.post("/v1/jobs/crm/queues/exports/resume", json!({})).await;
    until(&world, &id, "completed").await;
}

#[tokio::test]
async fn a_batch_is_counted_and_what_follows_it_is_asked_for() {
    let world = World::start().await;
    let one = |status: &str| json!({ "kind": "export_leads", "arguments": { "status": [status] } });
    let asked = world
        .post("/v1/jobs/crm/batches", json!({ "jobs": [one("new"), one("qualified")], "then": one("recycled") }))
        .await;
    assert_eq!(asked.status, StatusCode::CREATED, "{asked:?}");
    let path = asked.header("location").to_owned();
    let id = asked.body["id"].as_str().unwrap().to_owned();
    let batch = eventually("the batch is over", async || {
        let batch = world.get(&path).await.body;
        batch["finished_at"].is_string().then_some(batch)
    })
    .await;
    assert_eq!((&batch["total"], &batch["open"], &batch["completed"]), (&json!(2), &json!(0), &json!(2)), "{batch}");
    until(&world, batch["then"].as_str().unwrap(), "completed").await;
    let jobs = world.get(&format!("/v1/jobs/crm?batch={id}")).await.body;
    assert_eq!(jobs["jobs"].as_array().unwrap().len(), 2, "{jobs}");
    let job = jobs["jobs"][0]["id"].as_str().unwrap();
    let log = world.get(&format!("/v1/jobs/crm/{job}/log?limit=1")).await.body;
    assert_eq!(
        (&log["log"][0]["message"], &log["next"]),
        (&json!("0 leads, 0 of them exported earlier"), &json!(1)),
        "{log}"
    );
    let rest = world.get(&format!("/v1/jobs/crm/{job}/log?after=1")).await.body;
    assert_eq!((&rest["log"][0]["message"], &rest["next"]), (&json!("completed"), &Value::Null), "{rest}");
    let query = format!(
        "{{ jobs {{ batch(id: \"{id}\") {{ completed then }} job(id: \"{job}\") {{ batch log {{ message }} }} }} }}"
    );
    let shown = world.post("/graphql", json!({ "query": query })).await;
    let shown = &shown.body["data"]["jobs"];
    assert_eq!((&shown["batch"]["completed"], &shown["job"]["batch"]), (&json!(2), &json!(id)), "{shown}");
    assert_eq!(shown["job"]["log"].as_array().unwrap().len(), 2, "{shown}");
    let post =
        |what: &str, body: Value| world.request(Method::POST, &format!("/v1/jobs/crm/batches{what}")).json(&body);
    let bad = StatusCode::BAD_REQUEST;
    world
        .refuses(vec![
            (post("", json!({ "jobs": [] })), bad, "batch_size"),
            (post("", json!({ "jobs": [one("new"), { "kind": "dance" }] })), bad, "job_kind_unknown"),
            (post("", json!({ "jobs": [one("lukewarm")] })), bad, "validation_failed"),
            (post(&format!("/{id}/cancel"), json!({})), StatusCode::CONFLICT, "batch_over"),
        ])
        .await;
    assert_eq!(world.get("/v1/jobs/crm").await.body["jobs"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_read_model_is_built_anew_by_a_job_that_only_operators_ask_for() {
    let world = World::start().await;
    leads(&world, "name\nAda\nGrace\n").await;
    let ask = |token: String, projection: &str| {
        let body = json!({ "kind": "rebuild_read_model", "arguments": { "projection": projection } });
        world.anonymous(Method::POST, "/v1/jobs/crm").bearer_auth(token).json(&body)
    };
    let asked = Answer::of(ask(world.token(&[Role::Admin]), "leads")).await;
    assert_eq!(asked.status, StatusCode::CREATED, "{asked:?}");
    let id = asked.body["id"].as_str().unwrap().to_owned();
    let job = until(&world, &id, "completed").await;
    assert_eq!((&job["queue"], &job["result"]["projection"]), (&json!("rebuilds"), &json!("leads")), "{job}");
    assert_eq!((&job["result"]["events"], &job["done"]), (&json!(3), &job["total"]), "{job}");
    let listed = world.post("/graphql", json!({ "query": "{ crm { leads(first: 10) { totalCount } } }" })).await;
    assert_eq!(listed.body["data"]["crm"]["leads"]["totalCount"], 2, "{listed:?}");

    let unknown = Answer::of(ask(world.token(&[Role::Admin]), "lads")).await;
    let unknown = until(&world, unknown.body["id"].as_str().unwrap(), "discarded").await;
    assert_eq!(unknown["code"], "projection_unknown", "{unknown}");
    assert!(unknown["reason"].as_str().unwrap().contains("leads"), "{unknown}");
    world
        .refuses(vec![
            (ask(world.stranger(), "leads"), StatusCode::FORBIDDEN, "operators_only"),
            (ask(world.token(&[Role::Manager]), "leads"), StatusCode::FORBIDDEN, "permission_missing"),
            (ask(world.token(&[Role::Admin]), "drop table"), StatusCode::BAD_REQUEST, "validation_failed"),
        ])
        .await;
    assert_eq!(world.get("/v1/jobs/crm").await.body["jobs"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_job_is_asked_for_by_name_for_a_later_time() {
    let world = World::start().await;
    let body = json!({ "kind": "export_leads", "run_at": "2100-01-01T00:00:00Z" });
    let asked = world.post("/v1/jobs/crm", body).await;
    let job = world.get(asked.header("location")).await.body;
    assert_eq!((&job["state"], &job["run_at"]), (&json!("scheduled"), &json!("2100-01-01T00:00:00Z")), "{job}");
    let post = |body: Value| world.request(Method::POST, "/v1/jobs/crm").json(&body);
    let bad = StatusCode::BAD_REQUEST;
    world
        .refuses(vec![
            (post(json!({ "kind": "import_leads" })), bad, "job_kind_unknown"),
            (post(json!({ "kind": "export_leads", "arguments": { "colour": 1 } })), bad, "validation_failed"),
            (post(json!({ "kind": "export_leads", "run_at": "tomorrow" })), bad, "validation_failed"),
        ])
        .await;
    assert_eq!(world.get("/v1/jobs/crm").await.body["jobs"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn without_a_service_the_jobs_of_all_services_that_one_may_see_are_one_list() {
    let world = World::start().await;
    let mut asked = Vec::new();
    for n in 0..4 {
        let path = if n % 2 == 0 { "/v1/crm/imports" } else { "/v1/user/imports" };
        let file = format!("name,email\nAda {n},ada{n}@example.com\n");
        let request = world.request(Method::POST, path).header("content-type", "text/csv").body(file);
        let made = Answer::of(request).await;
        assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
        asked.push((made.body["id"].clone(), json!(if n % 2 == 0 { "crm" } else { "user" })));
        until_at(&world, made.header("location"), "completed").await;
    }
    let role = json!({ "name": "clerk", "title": "Clerk", "permissions": ["user:job:read"] });
    assert_eq!(world.post("/v1/user/roles", role).await.status, StatusCode::CREATED);
    let ask = async |token: &str, question: &str| {
        let request = world.anonymous(Method::POST, "/graphql").bearer_auth(token);
        Answer::of(request.json(&json!({ "query": format!("{{ jobs {{ {question} }} }}") }))).await.body
    };
    let seen = |answer: &Value| -> Vec<(Value, Value)> {
        let rows = answer["data"]["jobs"]["jobs"]["nodes"].as_array().unwrap_or_else(|| panic!("{answer}"));
        rows.iter().map(|row| (row["id"].clone(), row["service"].clone())).collect()
    };

    // Every job is on exactly one page, newest first.
    let (admin, mut pages, mut after) = (world.token(&[Role::Admin]), Vec::new(), String::new());
    loop {
        let rest = "totalCount nodes { id service } pageInfo { hasNextPage endCursor }";
        let answer = ask(&admin, &format!("jobs(first: 3{after}) {{ {rest} }}")).await;
        pages.extend(seen(&answer));
        let page = &answer["data"]["jobs"]["jobs"];
        assert_eq!(page["totalCount"], asked.len(), "{answer}");
        if page["pageInfo"]["hasNextPage"] == false {
            break;
        }
        after = format!(", after: {}", page["pageInfo"]["endCursor"]);
    }
    asked.reverse();
    assert_eq!(pages, asked);
    let theirs = &asked[0].0;
    let one = ask(&admin, &format!("job(id: {theirs}) {{ service kind log {{ message }} }}")).await;
    let job = &one["data"]["jobs"]["job"];
    assert_eq!((&job["service"], &job["kind"]), (&json!("user"), &json!("import_users")), "{one}");
    assert!(job["log"][0]["message"].is_string(), "{one}");
    let elsewhere = ask(&admin, &format!("job(service: \"crm\", id: {theirs}) {{ id }}")).await;
    assert_eq!(elsewhere["data"]["jobs"]["job"], Value::Null, "{elsewhere}");

    // A caller with the permission for one service sees its jobs, and is refused those of a named other service.
    let clerk = world.token_with(&["clerk"]);
    let own: Vec<_> = asked.iter().filter(|(_, service)| service == "user").cloned().collect();
    eventually("the role is known", async || {
        let answer = ask(&clerk, "jobs { nodes { id service } }").await;
        answer["errors"].is_null().then_some(())
    })
    .await;
    assert_eq!(seen(&ask(&clerk, "jobs { nodes { id service } }").await), own);
    let refused = ask(&clerk, "jobs(service: \"crm\") { nodes { id } }").await;
    assert_eq!(refused["errors"][0]["extensions"]["permission"], "crm:job:read", "{refused}");
    let hidden = ask(&clerk, &format!("job(id: {}) {{ id }}", asked[1].0)).await;
    assert_eq!(hidden["data"]["jobs"]["job"], Value::Null, "{hidden}");
    let none = ask(&world.token(&[Role::Viewer]), "jobs { nodes { id } }").await;
    let extensions = &none["errors"][0]["extensions"];
    assert_eq!(
        (&extensions["code"], &extensions["permission"]),
        (&json!("permission_missing"), &json!("auth:job:read crm:job:read user:job:read")),
        "{none}"
    );
    let unknown = ask(&admin, "jobs(service: \"erp\") { nodes { id } }").await;
    assert_eq!(unknown["errors"][0]["extensions"]["code"], "not_found", "{unknown}");
}

#[tokio::test]
async fn a_kind_or_queue_that_no_service_has_is_refused_in_graphql_as_over_rest() {
    let world = World::apart().await;
    let before = world.head().await;
    let ask = async |filter: &str| {
        let query = format!("{{ jobs {{ jobs({filter}) {{ totalCount }} }} }}");
        world.post("/graphql", json!({ "query": query })).await.body
    };
    for (filter, argument, allowed) in [
        ("kind: \"export_lead\"", "kind", "there are no \"export_lead\" jobs; allowed: export_leads"),
        ("queue: \"export\"", "queue", "there is no queue \"export\"; allowed: default, exports, imports, rebuilds"),
        ("service: \"crm\", kind: \"import_users\"", "kind", "import_leads"),
    ] {
        let refused = ask(filter).await;
        let error = &refused["errors"][0];
        assert_eq!(
            (&error["extensions"]["code"], &error["extensions"]["argument"]),
            (&json!("value_not_allowed"), &json!(argument)),
            "{refused}"
        );
        assert!(error["message"].as_str().unwrap().contains(allowed), "{refused}");
    }
    assert_eq!(world.head().await, before, "nothing was written");
    // What one of the services has is known in a list of all of them, also what only its servers add.
    for filter in ["kind: \"import_users\"", "kind: \"rebuild_read_model\"", "queue: \"rebuilds\""] {
        assert_eq!(ask(filter).await["data"]["jobs"]["jobs"]["totalCount"], 0, "{filter}");
    }
}
