//! Duplicate delivery: the checkpoints of sagas and webhooks are reset to the first event, several times under load.

use std::collections::{BTreeSet, HashMap};

use serde_json::{Value, json};
use testbed::eventually;
use testbed::receiver::Receiver;

use crate::ledger;
use crate::load::Load;
use crate::world::World;

/// How often everything is delivered again.
const ROUNDS: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_duplicate_delivery_of_everything_under_load_does_nothing_twice() {
    let mut world = World::new().await;
    let client = world.tenant("acme");
    world.start(0).await;
    let policy =
        json!({ "escalate_after_days": 3, "escalate_to": "boss", "reassign_after_days": 2, "reassign_to": "other" });
    client.done("/v1/crm/follow-up/set", policy).await;
    let receiver = Receiver::start().await;
    let endpoint =
        client.done("/v1/events/webhooks", json!({ "service": "crm", "url": receiver.url, "after": 0 })).await;

    let load = Load::start(&client, 4, 23);
    for _ in 0..ROUNDS {
        world.grows(60).await;
        // Reset the checkpoints, as if the effects had been committed but the checkpoint had not.
        world.kill(0);
        let mut superuser = world.sql().await;
        for set_back in ["UPDATE saga.checkpoint SET position = 0", "UPDATE webhooks.cursors SET position = 0"] {
            let rows = sqlx::query(set_back).execute(&mut superuser).await.unwrap().rows_affected();
            assert_eq!(rows, 1, "{set_back}");
        }
        world.start(0).await;
    }
    world.grows(60).await;
    let answered = load.end().await;
    world.sagas_rest().await;

    // Commands are checked with the ledger, read models with `drift`.
    ledger::assert_load_consistent(&world, &answered).await;
    let events = world.verify(&client).await;
    world.ok(&["projection", "drift"]);

    // Sagas: exactly one for each qualified lead.
    let of_type = |event_type: &'static str| events.iter().filter(move |event| event.event_type == event_type);
    let qualified: Vec<String> = of_type("crm.lead.qualified").map(|event| event.event_id.to_string()).collect();
    let triggers = of_type("crm.saga.started").map(|event| {
        let started: Value = serde_json::from_slice(&event.payload).unwrap();
        started["trigger"].as_str().unwrap().to_owned()
    });
    let triggers: Vec<String> = triggers.collect();
    let sagas = triggers.len();
    assert!(qualified.len() > 5, "that were no sagas: {}", qualified.len());
    assert_eq!(sagas, qualified.len(), "a saga began twice, or never");
    let (triggers, qualified): (BTreeSet<_>, BTreeSet<_>) =
        (triggers.into_iter().collect(), qualified.into_iter().collect());
    assert_eq!(triggers, qualified);

    // Webhooks: each event has one message id, and first deliveries are in order.
    let last = events.last().unwrap().position;
    eventually("the last event is delivered", async || {
        let path = format!("/v1/events/webhooks/{}", endpoint.id());
        (client.get(&path).await.body["position"] == last.0).then_some(())
    })
    .await;
    let (mut first, mut bodies) = (Vec::new(), HashMap::new());
    let got = receiver.got();
    for message in &got {
        let known = bodies.entry(message.id().to_owned()).or_insert_with(|| {
            first.push(message.position());
            message.body.clone()
        });
        assert_eq!(*known, message.body, "what is sent again is the same");
    }
    assert_eq!(first, events.iter().map(|event| event.position.0).collect::<Vec<_>>(), "each, and in order");
    let repeated = got.len() - first.len();
    println!("{} events, {sagas} sagas, {repeated} messages again", events.len());
    assert!(repeated > 100, "it was not delivered again: {repeated}");
    world.stop(0).await;
}
