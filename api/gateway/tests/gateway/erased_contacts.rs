//! Personal data of leads and contacts: sealed before the erasure, and nowhere after it.

use std::sync::Arc;

use eventstore::{Append, CommandRecord, EventStore, NewEvent, StreamAppend};
use kernel::{Clock, IdSource, SystemClock, SystemIds};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

use crate::personal::{done, leaks, rows, streamed};
use crate::world::{Answer, World};

/// Converts a lead into a contact as an older program did, before contacts had an event for it.
async fn converted_as_before(world: &World, lead: &str, account: &str, contact: &str) {
    let (settings, clock) = (world.config.log_settings(), Arc::new(SystemClock));
    let store = EventStore::open(&world.database, settings, clock).await.unwrap();
    let expected = store.load(world.tenant, "crm.lead", lead, 0).await.unwrap().len() as u64;
    let (id, occurred_at) = (SystemIds.next(), SystemClock.now());
    let metadata = json!({ "actor": "ada", "command_id": id, "correlation_id": id, "causation_id": id, "occurred_at": occurred_at });
    let event = NewEvent {
        event_id: id,
        event_type: "crm.lead.converted",
        event_version: 1,
        payload: json!({ "account": account, "contact": contact }).to_string(),
        metadata: metadata.to_string().into(),
        occurred_at,
    };
    let (aggregate_type, aggregate_id) = ("crm.lead", lead.to_owned());
    let streams = vec![StreamAppend { aggregate_type, aggregate_id, expected, events: vec![event] }];
    let command = CommandRecord { id: id.to_string(), request_hash: [0; 32], answer: "{}".to_owned() };
    store.append(Append { tenant: world.tenant, command, streams, claims: vec![] }).await.unwrap();
    store.close().await;
}

/// Queries CRM by GraphQL, once the read models have reached the position of `done`.
async fn seen(world: &World, done: &Answer, fields: &str) -> Value {
    let request = world.request(Method::POST, "/graphql").header("x-min-position", done.header("x-position"));
    let mut answer = Answer::of(request.json(&json!({ "query": format!("{{ crm {{ {fields} }} }}") }))).await;
    assert_eq!(answer.body["errors"], Value::Null, "{answer:?}");
    answer.body["data"]["crm"].take()
}

/// Captures a lead with every kind of personal data, and qualifies it.
async fn qualified(world: &World) -> String {
    let lead = json!({ "name": "Kanaria Zaunkönig", "email": "kanaria@kanaria.example", "phone": "+49 30 998877",
        "title": "Singer", "company": "Birds Ltd", "owner": "ada",
        "address": { "street": "Zaunköniggasse 7", "locality": "Kanaria", "postal_code": "70123", "country": "de" } });
    let made = done(world, "/v1/crm/leads", lead).await;
    let path = format!("/v1/crm/leads/{}", made.body["id"].as_str().unwrap());
    done(world, &format!("{path}/recycle"), json!({ "reason": "Zaunkönig is on leave" })).await;
    done(world, &format!("{path}/assign"), json!({ "owner": "ada" })).await;
    done(world, &format!("{path}/start-work"), json!({})).await;
    done(world, &format!("{path}/qualify"), json!({ "note": "Kanaria asked for an offer" })).await;
    path
}

/// Exports all leads: where the file is, and its content.
async fn exported(world: &World) -> (String, Answer) {
    let asked = done(world, "/v1/crm/leads/export", json!({})).await;
    let path = format!("/v1/jobs/crm/{}", asked.body["id"].as_str().unwrap());
    testbed::eventually("the export is completed", async || {
        (world.get(&path).await.body["state"] == "completed").then_some(())
    })
    .await;
    (format!("{path}/output"), world.get(&format!("{path}/output")).await)
}

/// A refused erasure erases nobody.
async fn whom_nobody_may_erase(world: &World, path: &str) {
    let request = |path: &str, body: Value| world.request(Method::POST, path).json(&body);
    let manager = world.token(&[kernel::Role::Manager]);
    let as_manager = world.anonymous(Method::POST, &format!("{path}/erase")).bearer_auth(manager);
    world
        .refuses(vec![
            (request(&format!("{path}/erase"), json!({})), StatusCode::BAD_REQUEST, "validation_failed"),
            (
                request(&format!("{path}/erase"), json!({ "reason": "Kanaria asked" })),
                StatusCode::BAD_REQUEST,
                "validation_failed",
            ),
            (as_manager.json(&json!({ "reason": "requested" })), StatusCode::FORBIDDEN, "permission_missing"),
            (
                request(&format!("{path}/erase"), json!({ "reason": "requested" })).header("if-match", "\"1\""),
                StatusCode::PRECONDITION_FAILED,
                "version_differs",
            ),
        ])
        .await;
}

/// What is shown of erased people, and of their erasure.
async fn are_shown_as_erased(world: &World, paths: [&str; 3]) {
    for path in paths {
        let told = world.get(&format!("{path}/erasure")).await.body;
        assert_eq!((&told["erased"], &told["sealed_for_ever"]), (&json!(true), &json!(7)), "{told}");
        assert_eq!((&told["can_be_opened"], &told["events"]), (&json!(0), &json!(17)), "{told}");
        let shown = world.get(path).await;
        assert_eq!((shown.status, leaks(&shown.body.to_string())), (StatusCode::OK, vec![]));
        // As in GraphQL: an empty text and nulls, so that clients need not know the form of sealed values.
        let [name, email, address] = ["name", "email", "address"].map(|member| &shown.body[member]);
        assert_eq!((name, email, address), (&json!(""), &Value::Null, &Value::Null), "{shown:?}");
    }
}

#[tokio::test]
async fn attack_60_whoever_was_a_lead_or_a_contact_is_nowhere_once_they_are_erased() {
    let world = World::start().await;
    let database = world.of("crm");
    let (first, second) = (qualified(&world).await, qualified(&world).await);
    let converted = done(&world, &format!("{first}/convert"), json!({})).await;
    let contact = converted.body["contact"].as_str().unwrap().to_owned();
    let account = converted.body["account"].as_str().unwrap();
    let body = json!({ "account": account, "contact": contact, "allow_duplicate": true });
    let converted = done(&world, &format!("{second}/convert"), body).await;
    let path = format!("/v1/crm/contacts/{contact}");

    // Callers with the permission see the data; in the log and in the stream it is sealed.
    let lead = first.strip_prefix("/v1/crm/leads/").unwrap();
    let fields = format!(
        "contacts(first: 5, filter: {{ search: \"zaunkönig\" }}) {{ nodes {{ id email }} }}
         lead(id: \"{lead}\") {{ name status address {{ street locality }} }} leadHistory(id: \"{lead}\") {{ change note }}
         contact(id: \"{contact}\") {{ address {{ street postalCode country }} }}"
    );
    let before = seen(&world, &converted, &fields).await;
    assert_eq!(before["contacts"]["nodes"], json!([{ "id": contact, "email": "kanaria@kanaria.example" }]));
    assert_eq!(before["leadHistory"][4]["note"], "Kanaria asked for an offer", "{before}");
    assert_eq!(before["lead"]["address"], json!({ "street": "Zaunköniggasse 7", "locality": "Kanaria" }));
    let carried_over = json!({ "street": "Zaunköniggasse 7", "postalCode": "70123", "country": "DE" });
    assert_eq!(before["contact"]["address"], carried_over);
    let (log, stream) = (rows(database, "log").await, streamed(&world, "crm", world.head_of_all(database).await).await);
    assert!(log.contains("Birds Ltd") && stream.contains("Birds Ltd"), "what is not personal is there: {stream}");
    assert_eq!((leaks(&log), leaks(&stream)), (vec![], vec![]));
    assert!(!leaks(&rows(database, "%").await).is_empty(), "the read models have it");
    let told = world.get(&format!("{path}/erasure")).await.body;
    assert_eq!((&told["erased"], &told["sealed_for_ever"]), (&json!(false), &json!(0)), "{told}");
    assert_eq!(told["can_be_opened"], 7, "the contact's first event and three of each lead: {told}");

    let (file, export) = exported(&world).await;
    assert!(export.body.as_str().unwrap().contains("Zaunkönig"), "{export:?}");

    whom_nobody_may_erase(&world, &path).await;
    let erased = done(&world, &format!("{second}/erase"), json!({ "reason": "requested" })).await;
    let after = seen(&world, &erased, &fields).await;
    assert_eq!(after["contacts"]["nodes"], json!([]));
    assert_eq!(after["lead"], json!({ "name": "", "status": "ERASED", "address": null }));
    assert_eq!(after["contact"]["address"], Value::Null);
    assert_eq!(after["leadHistory"].as_array().unwrap().len(), 7, "what happened stays: {after}");
    let asked = format!("contact(id: \"{contact}\") {{ name email erasedAt }}");
    let known = seen(&world, &erased, &asked).await;
    assert_eq!((&known["contact"]["name"], &known["contact"]["email"]), (&json!(""), &Value::Null));
    assert!(known["contact"]["erasedAt"].is_string());
    assert_eq!(leaks(&rows(database, "%").await), [""; 0]);
    let gone = testbed::eventually("the file is removed", async || {
        let asked = world.get(&file).await;
        (asked.status != StatusCode::OK).then_some(asked)
    })
    .await;
    assert_eq!((gone.status, gone.code()), (StatusCode::NOT_FOUND, "job_output_forgotten"));
    let parts = "SELECT coalesce(string_agg(encode(bytes, 'escape'), ''), '') FROM jobs.parts";
    let mut connection = PgConnection::connect_with(&database.superuser()).await.unwrap();
    let parts: String = sqlx::query_scalar(parts).fetch_one(&mut connection).await.unwrap();
    assert_eq!(leaks(&parts), [""; 0]);
    connection.close().await.unwrap();
    let (_, export) = exported(&world).await;
    let export = export.body.as_str().unwrap();
    assert!(export.lines().count() == 3 && leaks(export).is_empty(), "{export}");
    are_shown_as_erased(&world, [&first, &second, &path]).await;
}

#[tokio::test]
async fn leads_of_whom_only_they_know_that_they_are_the_same_person_are_erased_with_the_contact() {
    let world = World::start().await;
    let (first, old) = (qualified(&world).await, qualified(&world).await);
    let converted = done(&world, &format!("{first}/convert"), json!({})).await;
    let [contact, account] = ["contact", "account"].map(|name| converted.body[name].as_str().unwrap().to_owned());
    let id = old.strip_prefix("/v1/crm/leads/").unwrap();
    converted_as_before(&world, id, &account, &contact).await;
    let failed = Answer::of(
        world
            .request(Method::POST, "/v1/crm/imports")
            .header("content-type", "text/csv")
            .body("name,email\nKanaria Zaunkönig,kanaria\n"),
    )
    .await;
    assert_eq!(failed.status, StatusCode::CREATED, "{failed:?}");
    let job = format!("/v1/jobs/crm/{}", failed.body["id"].as_str().unwrap());
    testbed::eventually("the import is over", async || {
        (world.get(&job).await.body["state"] == "completed").then_some(())
    })
    .await;
    let errors = world.request(Method::GET, &format!("{job}/output")).send().await.unwrap().text().await.unwrap();
    assert!(errors.contains("email"), "{errors}");

    done(&world, &format!("/v1/crm/contacts/{contact}/erase"), json!({ "reason": "requested" })).await;
    for path in [&first, &old, &format!("/v1/crm/contacts/{contact}")] {
        let told = world.get(&format!("{path}/erasure")).await.body;
        assert_eq!((&told["erased"], &told["can_be_opened"]), (&json!(true), &json!(0)), "{path}: {told}");
        assert_eq!(told["sealed_for_ever"], 7, "all three are one person: {told}");
    }
    testbed::eventually("what the import says of rows is removed", async || {
        (world.get(&format!("{job}/output")).await.code() == "job_output_forgotten").then_some(())
    })
    .await;
    let jobs = world.get("/v1/jobs/crm?kind=forget_exports").await.body;
    assert_eq!(jobs["jobs"].as_array().unwrap().len(), 1, "{jobs}");
    done(&world, &format!("/v1/crm/contacts/{contact}/erase"), json!({ "reason": "requested" })).await;
    let jobs = world.get("/v1/jobs/crm?kind=forget_exports").await.body;
    assert_eq!(jobs["jobs"].as_array().unwrap().len(), 1, "a repetition has nothing left to do: {jobs}");
}

#[tokio::test]
async fn an_erasure_that_was_carried_out_is_said_to_be_again_also_while_the_read_models_are_behind() {
    let world = World::start().await;
    let made = done(&world, "/v1/crm/contacts", json!({ "name": "Grace Hopper", "email": "grace@example.com" })).await;
    let path = format!("/v1/crm/contacts/{}/erase", made.body["id"].as_str().unwrap());
    let erase = |key: &str| {
        world.request(Method::POST, &path).header("idempotency-key", key).json(&json!({ "reason": "requested" }))
    };
    let erased = Answer::of(erase("once")).await;
    assert_eq!(erased.status, StatusCode::OK, "{erased:?}");
    // With this lock, leads can be read, but no new one can be written.
    let mut superuser = PgConnection::connect_with(&world.of("crm").superuser()).await.unwrap();
    let mut behind = superuser.begin().await.unwrap();
    sqlx::query("LOCK TABLE crm.lead IN SHARE MODE").execute(&mut *behind).await.unwrap();
    world.lead("whom the read models do not know").await;
    let head = world.head().await;
    let again = Answer::of(erase("once")).await;
    assert_eq!((again.status, again.header("x-position")), (StatusCode::OK, erased.header("x-position")), "{again:?}");
    let refused = Answer::of(erase("another")).await;
    assert_eq!((refused.status, refused.code()), (StatusCode::GATEWAY_TIMEOUT, "read_model_behind"), "{refused:?}");
    refused.assert_problem();
    let position = |member: &str| refused.body[member].as_u64().unwrap();
    assert!(position("reached") < position("wanted"), "{refused:?}");
    assert_eq!(world.head().await, head);
    behind.rollback().await.unwrap();
}
