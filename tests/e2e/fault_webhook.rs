//! kill -9 of the processes that deliver webhooks, with receivers that fail now and then: every event arrives, in order, with a stable id.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;
use testbed::eventually;
use testbed::receiver::{Receiver, Reply};

use crate::load::Load;
use crate::world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_kill_9_of_deliverers_loses_no_webhook_and_repeats_only_under_the_same_id() {
    let seed = std::env::var("INOPSIO_FAULT_SEED").map_or_else(|_| rand::rng().random(), |text| text.parse().unwrap());
    println!("INOPSIO_FAULT_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut world = World::new().await;
    let client = world.tenant("acme");
    world.start(0).await;
    world.start(1).await;
    let receiver = Receiver::answering(|_, before| match before {
        // Each failure costs a second.
        7 | 70 | 71 | 300 => Reply::Status("500 Internal Server Error"),
        _ => Reply::Status("200 OK"),
    })
    .await;
    let created =
        client.done("/v1/events/webhooks", json!({ "service": "crm", "url": receiver.url, "after": 0 })).await;

    let load = Load::start(&client, 4, seed);
    let began = Instant::now();
    let mut kills = 0;
    while began.elapsed() < Duration::from_secs(8) {
        let number = random.random_range(0..2);
        // Random times are the purpose of this test; nothing is waited for by sleeping.
        tokio::time::sleep(Duration::from_millis(random.random_range(200..1_200))).await;
        world.kill(number);
        tokio::time::sleep(Duration::from_millis(random.random_range(0..300))).await;
        world.start(number).await;
        kills += 1;
    }
    load.end().await;

    let events = world.verify(&client).await;
    let last = events.last().unwrap().position;
    eventually("the last event is delivered", async || {
        let path = format!("/v1/events/webhooks/{}", created.id());
        (client.get(&path).await.body["position"] == last.0).then_some(())
    })
    .await;
    let mut first: Vec<u64> = Vec::new();
    let mut bodies: HashMap<String, String> = HashMap::new();
    for message in receiver.got() {
        let known = bodies.entry(message.id().to_owned()).or_insert_with(|| {
            first.push(message.position());
            message.body.clone()
        });
        assert_eq!(*known, message.body, "what is sent again is the same");
    }
    let repeated = receiver.got().len() - bodies.len();
    println!("{kills} kills, {} events, {repeated} messages again", events.len());
    assert!(events.len() > 50, "that was no load");
    assert_eq!(first, events.iter().map(|event| event.position.0).collect::<Vec<_>>(), "each, and in order");
    let ids: Vec<_> = events.iter().map(|event| event.event_id.to_string()).collect();
    assert!(ids.iter().all(|id| bodies.contains_key(id)));
}
