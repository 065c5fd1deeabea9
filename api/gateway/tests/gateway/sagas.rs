//! Sagas end to end: started by a command, listed, cancelled.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testbed::eventually;

use crate::issuers::Machine;
use crate::world::{Answer, World};
use kernel::Role;

async fn import(world: &World) -> String {
    let upload = world.request(Method::POST, "/v1/crm/leads/import").header("content-type", "text/csv");
    let answer = Answer::of(upload.body("name\nAda\nGrace\n")).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    answer.body["import_id"].as_str().unwrap().to_owned()
}

/// The only saga for a subject, once it is in the expected state.
async fn saga(world: &World, key: &str, state: &str) -> Value {
    eventually(&format!("a {state} saga about {key}"), async || {
        let page = world.get(&format!("/v1/sagas/crm?key={key}&state={state}")).await;
        assert_eq!(page.status, StatusCode::OK, "{page:?}");
        page.body["sagas"].as_array()?.first().cloned()
    })
    .await
}

#[tokio::test]
async fn an_import_is_reverted_by_a_command_and_its_saga_is_seen() {
    let world = World::start().await;
    let import = import(&world).await;
    let path = format!("/v1/crm/imports/{import}");
    let unknown = "/v1/crm/imports/0192f0c4-0000-7000-8000-000000000000/revert";
    let body = json!({ "reason": "the wrong list" });
    let member = |path: &str| world.anonymous(Method::POST, path).bearer_auth(world.token(&[Role::Member]));
    world
        .refuses(vec![
            (world.request(Method::POST, unknown).json(&body), StatusCode::NOT_FOUND, "not_found"),
            (member(&format!("{path}/revert")).json(&body), StatusCode::FORBIDDEN, "permission_missing"),
            (
                world.request(Method::POST, &format!("{path}/revert")).json(&json!({ "reason": "" })),
                StatusCode::BAD_REQUEST,
                "validation_failed",
            ),
        ])
        .await;
    assert_eq!(world.get(&path).await.body["revert"], "none");
    let accepted = world.post(&format!("{path}/revert"), body.clone()).await;
    assert_eq!(accepted.status, StatusCode::OK, "{accepted:?}");
    let saga = saga(&world, &import, "completed").await;
    assert_eq!((&saga["saga"], &saga["definition"]), (&json!("revert_import"), &json!(1)));
    assert_eq!(world.get(&path).await.body["revert"], "done");
    let id = saga["id"].as_str().unwrap();
    let detail = world.get(&format!("/v1/sagas/crm/{id}")).await;
    assert_eq!(detail.status, StatusCode::OK, "{detail:?}");
    for shown in [&saga, &detail.body] {
        assert_eq!((&shown["state"], &shown["status"]), (&json!("completed"), &Value::Null), "{shown}");
    }
    let steps: Vec<_> = detail.body["done"].as_array().unwrap().iter().map(|done| done["step"].clone()).collect();
    assert_eq!(steps, ["accept", "withdraw_leads", "record"]);
    assert_eq!(detail.body["done"][1]["result"]["withdrawn"], 2);

    let stranger = world.anonymous(Method::GET, &format!("/v1/sagas/crm/{id}")).bearer_auth(world.stranger());
    let viewer = world.anonymous(Method::GET, "/v1/sagas/crm?saga=followup").bearer_auth(world.token(&[Role::Viewer]));
    let post = |what: &str| world.request(Method::POST, &format!("/v1/sagas/crm/{id}/{what}"));
    world
        .refuses(vec![
            (
                world.request(Method::POST, &format!("{path}/revert")).json(&body),
                StatusCode::CONFLICT,
                "import_already_reverted",
            ),
            (stranger, StatusCode::NOT_FOUND, "not_found"),
            (viewer, StatusCode::FORBIDDEN, "permission_missing"),
            (world.request(Method::GET, "/v1/sagas/erp"), StatusCode::NOT_FOUND, "not_found"),
            (world.request(Method::GET, "/v1/sagas/crm?status=stuck"), StatusCode::BAD_REQUEST, "parameter_unknown"),
            (world.request(Method::GET, "/v1/sagas/crm?state=asleep"), StatusCode::BAD_REQUEST, "parameter_invalid"),
            (world.request(Method::GET, "/v1/sagas/crm?saga=followup"), StatusCode::BAD_REQUEST, "parameter_invalid"),
            (world.request(Method::GET, "/v1/sagas/crm?limit=0"), StatusCode::BAD_REQUEST, "parameter_invalid"),
            (world.request(Method::GET, "/v1/sagas/crm?key=%00"), StatusCode::BAD_REQUEST, "parameter_invalid"),
            // Cursors with a time before any saga, and with one that is out of Postgres's range.
            (
                world.request(Method::GET, &format!("/v1/sagas/crm?after=-8000000000000000000_{id}")),
                StatusCode::BAD_REQUEST,
                "parameter_invalid",
            ),
            (post("resume"), StatusCode::CONFLICT, "saga_not_stuck"),
            (post("cancel").json(&json!({ "reason": "late" })), StatusCode::CONFLICT, "saga_not_cancellable"),
            (post("cancel").json(&json!({ "reason": "" })), StatusCode::BAD_REQUEST, "validation_failed"),
        ])
        .await;
}

#[tokio::test]
async fn a_follow_up_waits_and_is_cancelled() {
    let world = World::start().await;
    let policy =
        json!({ "escalate_after_days": 3, "escalate_to": "grace", "reassign_after_days": 2, "reassign_to": "hedy" });
    let mut wrong = policy.clone();
    wrong["escalate_after_days"] = json!(0);
    let set = |body: &Value| world.request(Method::POST, "/v1/crm/follow-up/set").json(body);
    let member = world.anonymous(Method::POST, "/v1/crm/follow-up/set").bearer_auth(world.token(&[Role::Member]));
    world
        .refuses(vec![
            (set(&wrong), StatusCode::BAD_REQUEST, "validation_failed"),
            (member.json(&policy), StatusCode::FORBIDDEN, "permission_missing"),
        ])
        .await;
    assert_eq!(world.get("/v1/crm/follow-up").await.body, json!({}));
    assert_eq!(Answer::of(set(&policy)).await.status, StatusCode::OK);
    assert_eq!(world.get("/v1/crm/follow-up").await.body["policy"], policy);
    let lead = world.lead("Ada").await;
    for (step, body) in [("assign", json!({ "owner": "ada" })), ("start-work", json!({})), ("qualify", json!({}))] {
        let answer = world.post(&format!("/v1/crm/leads/{lead}/{step}"), body).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    }
    let saga = eventually("the saga waits", async || {
        let page = world.get(&format!("/v1/sagas/crm?saga=follow_up_lead&key={lead}")).await;
        page.body["sagas"].as_array()?.first().filter(|one| one["step"] == "escalate").cloned()
    })
    .await;
    let id = saga["id"].as_str().unwrap();
    let cancelled = world.post(&format!("/v1/sagas/crm/{id}/cancel"), json!({ "reason": "we know them" })).await;
    assert_eq!(cancelled.status, StatusCode::OK, "{cancelled:?}");
    let page = eventually("it is taken back", async || {
        let page = world.get(&format!("/v1/sagas/crm?key={lead}&state=compensated")).await;
        (page.body["sagas"].as_array()?.len() == 1).then_some(page)
    })
    .await;
    assert_eq!(page.body["sagas"][0]["code"], "cancelled");
}

#[tokio::test]
async fn a_follow_up_names_only_who_can_sign_in() {
    let world = World::start().await;
    let new = json!({ "name": "Grace", "email": "grace@example.com", "roles": ["manager"] });
    let made = world.post("/v1/user/users", new).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let grace = made.body["id"].as_str().unwrap();
    let machine = Machine::register(&world, "robot", &["manager"]).await.id;
    let set = async |escalate_to: &str, reassign_to: &str| {
        let policy = json!({
            "escalate_after_days": 3, "escalate_to": escalate_to, "reassign_after_days": 2, "reassign_to": reassign_to,
        });
        world.post("/v1/crm/follow-up/set", policy).await
    };
    let answer = set(grace, &machine).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    for (path, body) in [
        (format!("/v1/user/users/{grace}/lock"), json!({ "reason": "left" })),
        (format!("/v1/auth/machines/{machine}/deactivate"), json!({})),
    ] {
        let answer = world.post(&path, body).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    }
    let head = world.head_of(&world.database).await;
    let nobody = "0192f0c4-0000-7000-8000-000000000000";
    for (escalate_to, reassign_to, wrong) in [
        (grace, "ada", &["/escalate_to"][..]),
        ("ada", machine.as_str(), &["/reassign_to"][..]),
        (nobody, grace, &["/escalate_to", "/reassign_to"][..]),
    ] {
        let answer = set(escalate_to, reassign_to).await;
        let expected = (StatusCode::UNPROCESSABLE_ENTITY, "reference_unknown");
        assert_eq!((answer.status, answer.code()), expected, "{answer:?}");
        let errors = answer.body["errors"].as_array().unwrap().iter();
        let errors: Vec<_> = errors.map(|error| (error["pointer"].clone(), error["code"].clone())).collect();
        let expected: Vec<_> = wrong.iter().map(|pointer| (json!(pointer), json!("cannot_sign_in"))).collect();
        assert_eq!(errors, expected);
    }
    assert_eq!(world.head_of(&world.database).await, head, "a refusal writes nothing");
}
