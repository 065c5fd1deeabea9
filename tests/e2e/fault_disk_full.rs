//! No space left on the disk of Postgres, or of JetStream.

use reqwest::StatusCode;
use serde_json::json;
use testbed::{Nats, Postgres, eventually};

use crate::client::Answer;
use crate::requirements::{Right, skip};
use crate::stream;
use crate::tmpfs::Tmpfs;
use crate::world::World;

/// Size of the disk: enough for a cluster with our databases and a little of their log.
const MEBIBYTES: u32 = 192;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_disk_full_refuses_with_503_keeps_what_was_acknowledged_and_recovers() {
    let disk = match Tmpfs::mount(MEBIBYTES) {
        Ok(disk) => disk,
        Err(reason) => return skip("fault_disk_full", &[Right::Mounting], &reason),
    };
    let mut world = World::on(Postgres::private_in(&disk.folder().join("cluster"))).await;
    let mut client = world.tenant("acme");
    world.start(0).await;
    // Large bodies, so that a new page is needed soon.
    let body = |number: u32| json!({ "name": format!("{number:0200}"), "company": "x".repeat(200) });
    let mut acknowledged: Vec<(String, Answer)> = Vec::new();
    for number in 0..20 {
        let key = format!("before-{number}");
        let answer = client.post_once(&key, "/v1/crm/leads", &body(number)).await.unwrap();
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        acknowledged.push((key, answer));
    }

    // First there is no page for another row. Then, which is harder, there is no space for the write-ahead log either.
    disk.fill();
    let mut refused = Vec::new();
    let mut numbers = 20..5_000;
    while refused.len() < 2 {
        let number = numbers.next().expect("the disk is full, and still everything is taken");
        let key = format!("full-{number}");
        let answer = client.post_once(&key, "/v1/crm/leads", &body(number)).await.unwrap();
        if answer.status.is_success() {
            acknowledged.push((key, answer));
            continue;
        }
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
        assert_eq!(answer.code(), "log_unavailable", "{answer:?}");
        if refused.is_empty() {
            println!("no page after {} commands", acknowledged.len());
            let _ = sqlx::query("SELECT pg_switch_wal()").execute(&mut world.sql().await).await;
        }
        refused.push((key, number));
    }

    disk.empty();
    // A server without space for its write-ahead log stops, and has to be started again.
    world.postgres_comes_back().await;
    // The refused commands are repeated with the same keys, and carried out once.
    for (key, number) in refused {
        let answer = client.post(&key, "/v1/crm/leads", &body(number)).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        acknowledged.push((key, answer));
    }
    let events = world.verify(&client).await;
    assert_eq!(events.len(), acknowledged.len());
    for (key, answer) in &acknowledged {
        let event = &events[usize::try_from(answer.position()).unwrap() - 1];
        assert_eq!(event.aggregate_id, answer.id());
        assert_eq!(event.decode_metadata().unwrap().command_id, *key);
    }
    drop(world);
    drop(disk);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_disk_full_of_jetstream_commands_and_views_go_on_and_the_stream_is_filled_when_there_is_room() {
    let disk = match Tmpfs::mount(64) {
        Ok(disk) => disk,
        Err(reason) => return skip("fault_disk_full_of_jetstream", &[Right::Mounting], &reason),
    };
    let mut world = World::with(Nats::start_in(&disk.folder().join("nats")).await);
    let client = world.tenant("acme");
    world.start(0).await;
    let first = client.done("/v1/crm/leads", json!({ "name": "Before" })).await;
    let bus = world.bus().await;
    stream::ends_at(&bus, first.position()).await;

    disk.fill();
    // Commands and queries don't need the stream.
    let mut last = first;
    for number in 0..200 {
        let body = json!({ "name": format!("{number:0200}"), "company": "x".repeat(200) });
        last = client.post_once(&format!("full-{number}"), "/v1/crm/leads", &body).await.unwrap();
        assert_eq!(last.status, StatusCode::CREATED, "{last:?}");
    }
    let found = client.ask("leads { totalCount }", last.position()).await;
    assert_eq!(found["leads"]["totalCount"], 201);
    let behind = eventually("the relay is behind", async || {
        let state = bus.stream_state(crate::world::CRM).await;
        // JetStream may not answer at all any more.
        Some(state.ok().flatten().is_none_or(|state| state.last < last.position()))
    });
    assert!(behind.await, "the stream has all: the disk was not full");

    disk.empty();
    // After a failed write the server refuses further messages, because it counts the failed one: it has to be restarted.
    world.nats.restart().await;
    stream::ends_at(&world.bus().await, last.position()).await;
    assert_eq!(world.verify(&client).await.len(), 201);
    world.stop(0).await;
    drop(world);
    drop(disk);
}
