//! An event type of a newer program in a log that an older program reads, as in a rolling upgrade or a rollback.

use rand::Rng;
use reqwest::StatusCode;
use serde_json::json;
use testbed::{eventually, insert_raw_event};

use crate::client::{Answer, Client};
use crate::ledger;
use crate::load::Load;
use crate::world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_unknown_event_type_stops_its_aggregate_alone_until_a_program_knows_it() {
    let mut world = World::new().await;
    let client = world.tenant("acme");
    world.start(0).await;
    let lead = client.done("/v1/crm/leads", json!({ "name": "Of the future", "owner": "grace" })).await;
    let load = Load::start(&client, 4, rand::rng().random());
    world.grows(20).await;

    let unknown = json!({ "event": "crm.lead.archived", "owner": "ada" }).to_string();
    let position = insert_raw_event(&mut world.sql().await, lead.id(), "crm.lead.archived", &unknown).await;
    let parked = async |world: &World| -> Vec<i64> {
        let parked = "SELECT position FROM dead.letters WHERE state IN ('parked', 'waiting') ORDER BY position";
        sqlx::query_scalar(parked).fetch_all(&mut world.sql().await).await.unwrap()
    };
    eventually("it is parked", async || parked(&world).await.contains(&position).then_some(())).await;
    world.grows(50).await;
    let path = format!("/v1/crm/leads/{}/assign", lead.id());
    let refused = client.post_once("k", &path, &json!({ "owner": "ada" })).await.unwrap();
    let expected = (StatusCode::INTERNAL_SERVER_ERROR, "history_unreadable");
    assert_eq!((refused.status, refused.code()), expected, "{refused:?}");

    // Restart the older program: the event was not skipped.
    world.kill(0);
    world.start(0).await;
    world.grows(50).await;
    assert!(parked(&world).await.contains(&position));
    let answered = load.end().await;
    ledger::assert_load_consistent(&world, &answered).await;

    // Simulate a newer program: change the event to a type that can be decoded, which assigns the lead to somebody else.
    world.kill(0);
    let known = json!({ "event": "crm.lead.assigned", "owner": "ada" }).to_string();
    sqlx::query("UPDATE log.events SET event_type = 'crm.lead.assigned', payload = $2::json WHERE position = $1")
        .bind(position)
        .bind(known)
        .execute(&mut world.sql().await)
        .await
        .unwrap();
    world.start(0).await;
    eventually("nothing is parked", async || parked(&world).await.is_empty().then_some(())).await;
    let assigned = client.post_once("k", &path, &json!({ "owner": "grace" })).await.unwrap();
    assert_eq!((assigned.status, assigned.body["version"].as_u64()), (StatusCode::OK, Some(3)), "{assigned:?}");
    let found = client.ask(&format!("lead(id: \"{}\") {{ owner }}", lead.id()), assigned.position()).await;
    assert_eq!(found["lead"]["owner"], "grace");
    world.caught_up(&client).await;
    let before = crate::read_models::content(&mut world.sql().await).await;
    world.ok(&["projection", "rebuild", "--all"]);
    crate::read_models::assert_equal(&before, &crate::read_models::content(&mut world.sql().await).await);
    world.stop(0).await;
}

/// Creates and converts a lead. Returns its path and the response to the conversion.
async fn converted(client: &Client) -> (String, Answer) {
    let details =
        json!({ "name": "Ada Lovelace", "email": "ada@example.com", "company": "Analytical", "owner": "grace" });
    let lead = client.done("/v1/crm/leads", details).await;
    let path = format!("/v1/crm/leads/{}", lead.id());
    client.done(&format!("{path}/start-work"), json!({})).await;
    client.done(&format!("{path}/qualify"), json!({ "note": "Ada asked for an offer" })).await;
    let converted = client.done(&format!("{path}/convert"), json!({})).await;
    (path, converted)
}

/// Checks that a lead or contact is erased and none of its events can be decrypted any more.
async fn is_gone(client: &Client, path: &str) {
    let told = client.get(&format!("{path}/erasure")).await;
    assert_eq!((&told.body["erased"], &told.body["can_be_opened"]), (&json!(true), &json!(0)), "{told:?}");
    assert!(told.body["sealed_for_ever"].as_u64().is_some_and(|sealed| sealed > 0), "{told:?}");
}

/// Two unreadable events: one of a newer program, and a damaged one. The latter is the lead's conversion, so only the contact's events tell
/// who the lead became.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_events_that_can_not_be_read_keep_nobody_from_being_erased() {
    let mut world = World::new().await;
    let client = world.tenant("acme");
    world.start(0).await;
    let reason = json!({ "reason": "requested" });
    let lead = client.done("/v1/crm/leads", json!({ "name": "Of the future", "email": "of@example.com" })).await;
    let path = format!("/v1/crm/leads/{}", lead.id());
    let unknown = json!({ "event": "crm.lead.archived", "owner": "ada" }).to_string();
    insert_raw_event(&mut world.sql().await, lead.id(), "crm.lead.archived", &unknown).await;
    let before = world.count().await;
    let refused = client.post_once("assign", &format!("{path}/assign"), &json!({ "owner": "ada" })).await.unwrap();
    assert_eq!((refused.status, refused.code()), (StatusCode::INTERNAL_SERVER_ERROR, "history_unreadable"));
    assert_eq!(world.count().await, before, "a refusal writes nothing");

    let erased = client.done(&format!("{path}/erase"), reason.clone()).await;
    assert_eq!(world.count().await, before + 1);
    is_gone(&client, &path).await;
    let found = client.ask(&format!("lead(id: \"{}\") {{ name }}", lead.id()), erased.position()).await;
    assert_eq!(found["lead"]["name"], "", "the read model has forgotten them, though the event waits there");
    // An erased lead needs no earlier events: these can't be decrypted anyway.
    let shown = client.get(&path).await;
    assert_eq!((shown.status, &shown.body["status"]), (StatusCode::OK, &json!("erased")), "{shown:?}");
    let again = client.post_once("again", &format!("{path}/erase"), &reason).await.unwrap();
    assert_eq!((again.status, world.count().await), (StatusCode::OK, before + 1), "{again:?}");

    let (path, conversion) = converted(&client).await;
    world.caught_up(&client).await;
    let damaged = "UPDATE log.events SET payload = '{\"event\":\"crm.lead.converted\"}'::json
                   WHERE event_type = 'crm.lead.converted'";
    sqlx::query(damaged).execute(&mut world.sql().await).await.unwrap();
    world.kill(0);
    world.start(0).await;
    let contact = format!("/v1/crm/contacts/{}", conversion.body["contact"].as_str().unwrap());
    client.done(&format!("{path}/erase"), reason.clone()).await;
    is_gone(&client, &path).await;
    is_gone(&client, &contact).await;
    world.stop(0).await;
}
