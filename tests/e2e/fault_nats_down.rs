//! nats-server is down: commands still succeed.

use reqwest::StatusCode;
use serde_json::json;

use crate::world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_nats_down_commands_succeed_and_views_catch_up() {
    let mut world = World::new().await;
    let client = world.tenant("acme");
    world.start(0).await;
    client.done("/v1/crm/leads", json!({ "name": "Before" })).await;
    world.caught_up(&client).await;

    world.nats.kill();
    // Each command succeeds at its first attempt.
    for number in 0..100 {
        client.done("/v1/crm/leads", json!({ "name": format!("Meanwhile {number}") })).await;
    }
    let (status, ready) = testbed::eventually("/ready misses the bus", async || {
        let (status, ready) = client.ready().await?;
        let dependencies = ready["dependencies"].as_array()?.clone();
        let down = dependencies.iter().any(|one| one["name"] == "nats" && one["state"] == "down");
        down.then_some((status, ready))
    })
    .await;
    assert_eq!((status, &ready["status"]), (StatusCode::OK, &json!("degraded")), "{ready}");

    world.nats.restart().await;
    let last = client.done("/v1/crm/leads", json!({ "name": "After" })).await;
    let found = client.ask("leads(first: 1) { nodes { name } totalCount }", last.position()).await;
    assert_eq!(found, json!({ "leads": { "nodes": [{ "name": "After" }], "totalCount": 102 } }));
    assert_eq!(world.verify(&client).await.len(), 102);
    testbed::eventually("/ready is content again", async || {
        client.ready().await.filter(|(_, ready)| ready["status"] == "ready").map(drop)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_nats_down_at_the_start_commands_succeed_and_views_catch_up() {
    let mut world = World::new().await;
    let client = world.tenant("acme");
    world.nats.kill();
    world.start(0).await;
    let last = client.done("/v1/crm/leads", json!({ "name": "Early" })).await;
    world.nats.restart().await;
    let found = client.ask("leads { nodes { name } }", last.position()).await;
    assert_eq!(found, json!({ "leads": { "nodes": [{ "name": "Early" }] } }));
    assert_eq!(world.verify(&client).await.len(), 1);
}
