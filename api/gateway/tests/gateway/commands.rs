//! Commands: creating, changing, idempotency keys, and conditional requests.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::world::{Answer, World};

#[tokio::test]
async fn currencies_are_shown_as_they_were_set_and_nobody_elses() {
    let world = World::start().await;
    let path = "/v1/crm/currencies";
    assert_eq!(world.get(path).await.body, json!({ "base": "EUR", "rates": [] }), "until one is chosen");
    let today = kernel::Clock::now(&kernel::SystemClock).date_naive();
    let day = |days: i64| (today + chrono::TimeDelta::days(days)).to_string();
    let rate = |days: i64, nanos: i64| json!({ "from": "EUR", "to": "USD", "day": day(days), "rate_nanos": nanos });
    for (step, body) in [
        ("set-base", json!({ "base": "USD" })),
        ("set-rate", rate(-900, 1_050_000_000)),
        ("set-rate", rate(-30, 1_080_000_000)),
        ("set-rate", rate(30, 1_100_000_000)),
    ] {
        let set = world.post(&format!("{path}/{step}"), body).await;
        assert_eq!(set.status, StatusCode::OK, "{set:?}");
    }
    let shown = world.get(path).await;
    assert_eq!(shown.body, json!({ "base": "USD", "rates": [rate(-30, 1_080_000_000), rate(30, 1_100_000_000)] }));
    assert_eq!(shown.header("etag"), "\"4\"");
    let stranger = Answer::of(world.anonymous(Method::GET, path).bearer_auth(world.stranger())).await;
    assert_eq!((stranger.status, &stranger.body["rates"]), (StatusCode::OK, &json!([])), "{stranger:?}");
}

#[tokio::test]
async fn a_lead_is_captured_found_where_the_answer_says_and_worked_on() {
    let world = World::start().await;
    let captured = world
        .post("/v1/crm/leads", json!({ "name": "Ada Lovelace", "email": "Ada@Example.com", "source": "referral" }))
        .await;
    assert_eq!(captured.status, StatusCode::CREATED, "{captured:?}");
    let id = captured.body["id"].as_str().unwrap();
    assert_eq!(captured.header("location"), format!("/v1/crm/leads/{id}"));
    assert_eq!(captured.header("etag"), "\"1\"");
    assert_eq!(captured.header("x-position"), format!("crm={}", captured.body["position"]));

    let found = world.get(captured.header("location")).await;
    assert_eq!(found.status, StatusCode::OK, "{found:?}");
    assert_eq!(found.header("etag"), "\"1\"");
    assert_eq!(found.body["name"], "Ada Lovelace");
    assert_eq!(found.body["email"], "ada@example.com");
    assert_eq!(found.body["status"], "new");

    let assigned = world.post(&format!("/v1/crm/leads/{id}/assign"), json!({ "owner": "grace" })).await;
    assert_eq!((assigned.status, assigned.header("etag")), (StatusCode::OK, "\"2\""), "{assigned:?}");
    let found = world.get(captured.header("location")).await;
    assert_eq!((&found.body["owner"], &found.body["status"]), (&json!("grace"), &json!("assigned")));
}

#[tokio::test]
async fn what_is_given_up_sent_back_or_lost_says_why_as_long_as_it_is() {
    let world = World::start().await;
    let long_ago = "2024-01-01T00:00:00Z";
    let capture = world.request(Method::POST, "/v1/crm/leads").header("occurred-at", long_ago);
    let captured = Answer::of(capture.json(&json!({ "name": "Ada", "owner": "grace" }))).await;
    let lead = captured.header("location").to_owned();
    let shown = world.get(&lead).await.body;
    assert_eq!((&shown["changed_at"], shown.get("reason"), shown.get("note")), (&json!(long_ago), None, None));
    assert_eq!(shown["captured_at"], long_ago, "when it happened, not when it was recorded");
    let given_up = json!({ "reason": "no_budget", "note": "next year" });
    for (step, body, reason, note) in [
        ("recycle", json!({ "reason": "on leave" }), Some("on leave"), None),
        ("assign", json!({ "owner": "ada" }), None, None),
        ("disqualify", given_up, Some("no_budget"), Some("next year")),
    ] {
        assert_eq!(world.post(&format!("{lead}/{step}"), body).await.status, StatusCode::OK, "{step}");
        let shown = world.get(&lead).await.body;
        assert_eq!((shown["reason"].as_str(), shown["note"].as_str()), (reason, note), "{step}: {shown}");
        assert_eq!(shown["captured_at"], long_ago, "{step}: {shown}");
    }

    let stages = json!([{ "name": "Offer", "probability": 50 }]);
    let pipeline =
        world.post("/v1/crm/pipelines", json!({ "name": "Sales", "stages": stages })).await.body["id"].clone();
    let amount = json!({ "minor": 1, "currency": "EUR" });
    let open = json!({ "name": "Engine", "pipeline": pipeline, "amount": amount, "close_date": "2030-01-01" });
    let deal = world.post("/v1/crm/opportunities", open).await.header("location").to_owned();
    for (step, body, reason) in
        [("lose", json!({ "reason": "too dear" }), Some("too dear")), ("reopen", json!({}), None)]
    {
        assert_eq!(world.post(&format!("{deal}/{step}"), body).await.status, StatusCode::OK, "{step}");
        let shown = world.get(&deal).await.body;
        assert_eq!(shown["lost_reason"].as_str(), reason, "{step}: {shown}");
        assert!(shown["changed_at"].is_string() && shown["opened_at"].is_string(), "{shown}");
        assert_ne!(shown["changed_at"], shown["opened_at"], "{shown}");
    }
}

#[tokio::test]
async fn the_same_key_gets_the_first_answer_and_another_request_under_it_is_refused() {
    let world = World::start().await;
    let capture = |name: &str| {
        world.request(Method::POST, "/v1/crm/leads").header("idempotency-key", "k-1").json(&json!({ "name": name }))
    };
    let first = Answer::of(capture("Ada")).await;
    assert_eq!(first.status, StatusCode::CREATED, "{first:?}");
    assert_eq!(first.header("idempotency-replayed"), "");
    let head = world.head().await;
    let again = Answer::of(capture("Ada")).await;
    assert_eq!((again.status, &again.body), (StatusCode::CREATED, &first.body));
    assert_eq!(again.header("location"), first.header("location"));
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(world.head().await, head);
    world.refuses(vec![(capture("Grace"), StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused")]).await;
}

#[tokio::test]
async fn a_change_can_be_conditioned_on_a_version() {
    let world = World::start().await;
    let id = world.lead("Ada").await;
    let assign_to = |owner: &str, etag: &str| {
        world
            .request(Method::POST, &format!("/v1/crm/leads/{id}/assign"))
            .header("if-match", etag)
            .json(&json!({ "owner": owner }))
    };
    let assign = |etag: &str| assign_to("grace", etag);
    // Another version, tags that are not versions, and a weak tag, which never matches here (RFC 9110 section 13.1.1).
    let differing = ["\"7\"", "\"2\", \"7\"", "\"one\"", "\"01\"", "W/\"1\""];
    let differs = |tags| (assign(tags), StatusCode::PRECONDITION_FAILED, "version_differs");
    world.refuses(differing.into_iter().map(differs).collect()).await;
    assert_eq!(Answer::of(assign("\"1\"")).await.status, StatusCode::OK);
    for (owner, of_several, version) in
        [("ada", "\"7\", \"2\"", "\"3\""), ("grace", "W/\"1\",\"3\"", "\"4\""), ("ada", "*", "\"5\"")]
    {
        let assigned = Answer::of(assign_to(owner, of_several)).await;
        assert_eq!((assigned.status, assigned.header("etag")), (StatusCode::OK, version), "{assigned:?}");
    }
    let lines = assign("\"7\"").header("if-match", "\"5\"");
    assert_eq!(Answer::of(lines).await.header("etag"), "\"6\"");
}

#[tokio::test]
async fn attack_224_who_uses_a_browser_after_another_is_not_told_that_it_has_what_they_ask_for() {
    let world = World::start().await;
    let mut tokens = Vec::new();
    for name in ["Ada", "Grace"] {
        let user = json!({ "name": name, "email": format!("{name}@example.com"), "roles": ["admin"] });
        let registered = world.post("/v1/user/users", user).await;
        assert_eq!(registered.status, StatusCode::CREATED, "{registered:?}");
        let id = registered.body["id"].as_str().unwrap().to_owned();
        tokens.push((world.token_of_user(&id), id));
    }
    let role = json!({ "name": "helper", "title": "Helper", "permissions": ["crm:lead:read"] });
    assert_eq!(world.post("/v1/user/roles", role).await.status, StatusCode::CREATED);
    let read = |path: &str, (token, _): &(String, String)| world.anonymous(Method::GET, path).bearer_auth(token);
    let [ada, grace] = &tokens[..] else { panic!("there are two") };
    let first = Answer::of(read("/v1/user/me", ada)).await;
    assert_eq!((&first.body["id"], first.header("cache-control")), (&json!(ada.1), "no-store"), "{first:?}");
    // A cache asks with the ETag of what it has, which is that of the same version of somebody else.
    for tag in [first.header("etag"), "*"] {
        let second = Answer::of(read("/v1/user/me", grace).header("if-none-match", tag)).await;
        assert_eq!((second.status, &second.body["id"]), (StatusCode::OK, &json!(grace.1)), "{tag}: {second:?}");
    }
    // The settings of another tenant are at the same path.
    for path in [
        "/v1/user/roles/helper",
        "/v1/user/registration-policy",
        "/v1/auth/branding",
        "/v1/auth/sign-in-policy",
        "/v1/auth/signing-keys",
        "/v1/crm/currencies",
        "/v1/crm/follow-up",
    ] {
        let read = Answer::of(read(path, ada).header("if-none-match", "*")).await;
        assert_eq!((read.status, read.header("cache-control")), (StatusCode::OK, "no-store"), "{path}: {read:?}");
        assert!(read.header("etag").starts_with('"') && read.body.is_object(), "{path}: {read:?}");
    }
}

#[tokio::test]
async fn what_the_reader_has_already_is_not_sent_again() {
    let world = World::start().await;
    let id = world.lead("Ada").await;
    let path = format!("/v1/crm/leads/{id}");
    let read = |tags: &str| Answer::of(world.request(Method::GET, &path).header("if-none-match", tags));
    for tags in ["\"1\"", "W/\"1\"", "\"7\", \"1\"", "*"] {
        let same = read(tags).await;
        assert_eq!((same.status, same.header("etag")), (StatusCode::NOT_MODIFIED, "\"1\""), "{tags}: {same:?}");
        assert_eq!((same.body.as_str(), same.header("content-type")), (Some(""), ""), "{tags}: {same:?}");
    }
    assert_eq!(read("\"2\"").await.body["name"], "Ada");
    world.post(&format!("{path}/assign"), json!({ "owner": "grace" })).await;
    let changed = read("\"1\"").await;
    assert_eq!((changed.status, changed.header("etag")), (StatusCode::OK, "\"2\""), "{changed:?}");
    // `If-None-Match` is only for reads: a command is executed nevertheless, and an unknown resource gets 404.
    let assign = world.request(Method::POST, &format!("{path}/assign")).header("if-none-match", "*");
    assert_eq!(Answer::of(assign.json(&json!({ "owner": "ada" }))).await.header("etag"), "\"3\"");
    let unknown = "/v1/crm/leads/0197a8a0-0000-7000-8000-000000000001";
    let unknown = Answer::of(world.request(Method::GET, unknown).header("if-none-match", "*")).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
}
