//! A poison event: one that a projection can't apply.

use reqwest::StatusCode;
use serde_json::{Value, json};
use testbed::{eventually, insert_raw_event};

use crate::client::{Answer, Client};
use crate::load::Load;
use crate::world::World;
use crate::{ledger, read_models};

/// Appends an event to a lead's stream directly in the database, without our programs.
async fn append(world: &World, lead: &str, event_type: &str, payload: Value) -> i64 {
    insert_raw_event(&mut world.sql().await, lead, event_type, &payload.to_string()).await
}

/// The entry of the projection `leads` in `/ready`.
fn leads(ready: &Value) -> &Value {
    ready["projections"].as_array().unwrap().iter().find(|projection| projection["name"] == "leads").unwrap()
}

async fn status_of(client: &Client, lead: &Answer, position: u64) -> Value {
    client.ask(&format!("lead(id: \"{}\") {{ status }}", lead.id()), position).await["lead"]["status"].clone()
}

/// Checks that `/ready`, the metrics and the command line report two parked events.
async fn is_told_of(world: &World, client: &Client) {
    let (status, ready) = eventually("/ready tells of the parked events", async || {
        client.ready().await.filter(|(_, ready)| leads(ready)["parked_events"] == 2)
    })
    .await;
    // Requests are still served, so the status is 200; a read model is incomplete, so it says "degraded".
    assert_eq!((status, &ready["status"]), (StatusCode::OK, &json!("degraded")), "{ready}");
    assert_eq!(
        (&leads(&ready)["state"], &leads(&ready)["parked_aggregates"]),
        (&json!("parked"), &json!(1)),
        "{ready}"
    );
    let metrics = client.get("/metrics").await.body;
    let metric = metrics
        .as_str()
        .unwrap()
        .lines()
        .find(|line| line.starts_with("inopsio_projection_parked_events{") && line.contains("\"leads\""));
    assert!(metric.is_some_and(|line| line.ends_with(" 2")), "{metric:?}");
    let listed: Value = serde_json::from_str(&world.ok(&["--format", "json", "projection", "status"])).unwrap();
    let listed = listed.as_array().unwrap().iter().find(|one| one["projection"] == "leads").unwrap();
    assert_eq!((&listed["state"], &listed["parked_events"]), (&json!("parked"), &json!(2)), "{listed}");
}

/// Checks that other aggregates continue, that the parked one is unchanged in the read model, and that commands on it are refused.
async fn others_flow(world: &World, client: &Client, lead: &Answer, other: &Answer) {
    let moved = client.done(&format!("/v1/crm/leads/{}/assign", other.id()), json!({ "owner": "ada" })).await;
    assert_eq!(status_of(client, other, moved.position()).await, "ASSIGNED");
    assert_eq!(status_of(client, lead, moved.position()).await, "ASSIGNED");
    let before = world.count().await;
    let refused = client.post_once("k", &format!("/v1/crm/leads/{}/start-work", lead.id()), &json!({})).await.unwrap();
    let expected = (StatusCode::INTERNAL_SERVER_ERROR, "history_unreadable");
    assert_eq!((refused.status, refused.code()), expected, "{refused:?}");
    assert_eq!(world.count().await, before);
}

/// Checks that the dead letter is listed with its error, and that it can be retried.
async fn is_listed_and_tried(world: &World, client: &Client, id: &str) {
    let shown: Value = serde_json::from_str(&world.ok(&["dlq", "show", "--tenant", "acme", id])).unwrap();
    let (letter, event) = (&shown["letter"], &shown["event"]);
    assert_eq!(shown["service"], "crm", "{shown}");
    assert_eq!((&letter["state"], &letter["waiting"]), (&json!("parked"), &json!(1)), "{shown}");
    assert_eq!(event["payload"], json!({ "event": "crm.lead.disqualified", "reason": 42 }), "{shown}");
    assert!(letter["errors"][0].as_str().is_some_and(|why| why.contains("can't be read")), "{shown}");
    let metrics = client.get("/metrics").await.body;
    assert!(
        metrics
            .as_str()
            .unwrap()
            .contains(r#"inopsio_dead_letters{service="crm",consumer="projection",name="leads",partition="0"} 1"#)
    );
    let still: Value =
        serde_json::from_str(&world.ok(&["--format", "json", "dlq", "redrive", "--tenant", "acme", id])).unwrap();
    assert_eq!(still["state"], "parked", "{still}");
    assert!(still["attempts"].as_u64() > letter["attempts"].as_u64(), "{still}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_poison_parks_its_aggregate_while_others_flow_and_drains_by_itself_after_the_repair_whatever_was_killed()
{
    let mut world = World::new().await;
    let client = world.tenant("acme");
    world.start(0).await;
    let lead = client.done("/v1/crm/leads", json!({ "name": "Sick", "owner": "grace" })).await;
    let other = client.done("/v1/crm/leads", json!({ "name": "Sound" })).await;
    world.caught_up(&client).await;

    // `reason` must be a string, so this event can't be decoded. The next one could be applied, but has to wait as it is in the same stream.
    let poison = json!({ "event": "crm.lead.disqualified", "reason": 42 });
    let position = append(&world, lead.id(), "crm.lead.disqualified", poison).await;
    append(&world, lead.id(), "crm.lead.assigned", json!({ "event": "crm.lead.assigned", "owner": "ada" })).await;
    is_told_of(&world, &client).await;
    others_flow(&world, &client, &lead, &other).await;

    // Retries happen automatically; other aggregates continue under load.
    let load = Load::start(&client, 4, 17);
    world.grows(60).await;
    let id = format!("projection.leads.{position}");
    is_listed_and_tried(&world, &client, &id).await;

    // Kill the process between parking and the next attempt, and repair the event. In reality a new program that can decode it would repair
    // this.
    world.kill(0);
    sqlx::query("UPDATE log.events SET event_type = 'crm.lead.recycled', payload = $2::json WHERE position = $1")
        .bind(position)
        .bind(json!({ "event": "crm.lead.recycled", "reason": "later" }).to_string())
        .execute(&mut world.sql().await)
        .await
        .unwrap();
    world.start(0).await;
    let ready = eventually("/ready is content again", async || {
        client.ready().await.map(|(_, ready)| ready).filter(|ready| ready["status"] == "ready")
    })
    .await;
    assert_eq!((&leads(&ready)["state"], &leads(&ready)["parked_events"]), (&json!("live"), &json!(0)), "{ready}");
    let started = client.done(&format!("/v1/crm/leads/{}/start-work", lead.id()), json!({})).await;
    assert_eq!(started.version(), 4);
    assert_eq!(status_of(&client, &lead, started.position()).await, "IN_PROCESS");
    let listed: Value =
        serde_json::from_str(&world.ok(&["--format", "json", "dlq", "list", "--tenant", "acme", "--state", "applied"]))
            .unwrap();
    assert_eq!(listed.as_array().unwrap().iter().map(|one| &one["id"]).collect::<Vec<_>>(), [&json!(id)], "{listed}");
    world.grows(60).await;
    ledger::assert_load_consistent(&world, &load.end().await).await;
    world.caught_up(&client).await;
    // The read model equals a rebuild.
    let drained = read_models::content(&mut world.sql().await).await;
    world.ok(&["projection", "rebuild", "leads"]);
    assert_eq!(read_models::content(&mut world.sql().await).await, drained);
}
