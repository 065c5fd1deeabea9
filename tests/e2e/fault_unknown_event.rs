//! An event of a newer program, in a log that an older one reads: a rolling upgrade, and a roll back in its middle.

use rand::Rng;
use reqwest::StatusCode;
use serde_json::json;
use testbed::{eventually, smuggle};

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
    let position = smuggle(&mut world.sql().await, lead.id(), "crm.lead.archived", &unknown).await;
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

    // The older program is started again: nothing was passed over.
    world.kill(0);
    world.start(0).await;
    world.grows(50).await;
    assert!(parked(&world).await.contains(&position));
    let answered = load.end().await;
    ledger::load_is_as_told(&world, &answered).await;

    // A program that knows the type, and what it says: that the lead is another's.
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
