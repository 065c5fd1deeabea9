//! The stream is lost, completely or in part, while everything is running: it is refilled from the log.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::client::Client;
use crate::stream;
use crate::world::{CRM, World};

/// Captures leads. Returns the response to the last one.
async fn capture(client: &Client, names: std::ops::Range<u32>) -> crate::client::Answer {
    let mut last = None;
    for name in names {
        last = Some(client.done("/v1/crm/leads", json!({ "name": format!("Lead {name}") })).await);
    }
    last.unwrap()
}

/// Checks that GraphQL shows the last write.
async fn answers(client: &Client, last: &crate::client::Answer) {
    let question = format!("lead(id: \"{}\") {{ version }} leads(first: 1) {{ nodes {{ id }} totalCount }}", last.id());
    let found = client.ask(&question, last.position()).await;
    assert_eq!(found["lead"]["version"], 1, "{found}");
    assert_eq!(found["leads"]["nodes"][0]["id"], last.id(), "{found}");
    assert_eq!(found["leads"]["totalCount"], last.position(), "{found}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_stream_deleted_it_is_filled_again_and_everything_goes_on() {
    let mut world = World::new().await;
    let client = world.tenant("acme");
    world.start(0).await;
    let last = capture(&client, 0..60).await;
    let bus = world.bus().await;
    stream::ends_at(&bus, last.position()).await;

    assert!(bus.delete_stream(CRM).await.unwrap());
    answers(&client, &last).await;
    world.verify_log_and_stream().await;

    // Consumers of the deleted stream continue with the new one.
    let last = capture(&client, 60..80).await;
    answers(&client, &last).await;
    assert_eq!(world.verify(&client).await.len(), 80);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_stream_tail_lost_it_is_filled_again_and_everything_goes_on() {
    let mut world = World::new().await;
    let client = world.tenant("acme");
    world.start(0).await;
    let early = capture(&client, 0..20).await;
    let bus = world.bus().await;
    stream::ends_at(&bus, early.position()).await;
    world.nats.kill();
    let saved = world.nats.store().with_extension("saved");
    copy(&world.nats.store(), &saved);
    world.nats.restart().await;
    let last = capture(&client, 20..60).await;
    stream::ends_at(&bus, last.position()).await;

    // Restore an older state of the store, as if the machine had crashed before the rest was synced.
    world.nats.kill();
    std::fs::remove_dir_all(world.nats.store()).unwrap();
    std::fs::rename(&saved, world.nats.store()).unwrap();
    world.nats.restart().await;
    answers(&client, &last).await;
    world.verify_log_and_stream().await;

    let last = capture(&client, 60..80).await;
    answers(&client, &last).await;
    assert_eq!(world.verify(&client).await.len(), 80);
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}
