//! A cluster of three nats-servers with three replicas of each stream, and two processes: any one of them may be lost.

use std::time::{Duration, Instant};

use rand::Rng;
use serde_json::json;
use testbed::{Nats, Network, eventually};

use crate::client::Client;
use crate::ledger;
use crate::load::Load;
use crate::requirements::{Right, skip};
use crate::world::{CRM, World};

const CLIENTS: usize = 12;

/// Maximum time until commands and queries are answered after a loss: 10 seconds, and as much again because other tests run on the same
/// machine.
const RECOVERED: Duration = Duration::from_secs(20);

fn node(world: &mut World, number: usize) -> &mut Nats {
    match number {
        0 => &mut world.nats,
        peer => &mut world.peers[peer - 1],
    }
}

/// Waits until all three servers have the whole stream. Returns the number of the stream's leader.
async fn all_copies_are_current(world: &World) -> usize {
    let bus = world.bus().await;
    let copies = eventually("the stream has three copies", async || {
        let copies = bus.stream_copies(CRM).await.ok()??;
        (copies.wanted == 3 && copies.current == 3).then_some(copies)
    });
    copies.await.leader.unwrap().trim_start_matches("node-").parse().unwrap()
}

/// After an incident: writes, and waits until the write is visible in each process and is in the stream. Returns the time until it was
/// visible.
async fn goes_on(world: &World, client: &Client, happened: &str) -> Duration {
    let began = Instant::now();
    let done = client.another(0).post(happened, "/v1/crm/leads", &json!({ "name": happened })).await;
    let written = began.elapsed();
    let question = format!("lead(id: \"{}\") {{ name }}", done.id());
    let server_count = world.server_urls.lock().unwrap().len();
    for turn in 0..server_count {
        let client = client.another(turn);
        let found = eventually("it can be read", async || {
            client.ask_once(&question, done.position()).await.filter(|answer| answer.status.is_success())
        });
        assert_eq!(found.await.body["data"]["crm"]["lead"]["name"], happened);
    }
    let read = began.elapsed();
    eventually("it is in the stream", async || {
        // Reconnect each time: a connection to a server that is cut off gets no answer or an outdated one.
        let state = world.bus().await.stream_state(CRM).await;
        state.ok().flatten().filter(|state| state.last >= done.position())
    })
    .await;
    let relayed = began.elapsed();
    println!("{happened}: written after {written:?}, read after {read:?}, in the stream after {relayed:?}");
    read
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_cluster_node_lost_then_a_process_everything_goes_on_and_nothing_is_lost_doubled_or_reordered() {
    let mut world = World::clustered().await;
    let client = world.tenant("acme");
    world.start(0).await;
    world.start(1).await;
    all_copies_are_current(&world).await;
    let load = Load::start(&client, CLIENTS, rand::rng().random());

    // First the leader of the stream, then a follower.
    for happened in ["the leader was killed", "a follower was killed"] {
        let leader = all_copies_are_current(&world).await;
        let number = if happened.starts_with("the leader") { leader } else { (leader + 1) % 3 };
        node(&mut world, number).kill();
        let took = goes_on(&world, &client, happened).await;
        assert!(took <= RECOVERED, "{happened}: {took:?}");
        eventually("/ready tells of the missing copy", async || {
            let (_, ready) = client.ready().await?;
            let parts = ready["dependencies"].as_array()?.clone();
            parts.iter().any(|part| part["detail"] == "2 of 3 copies are current").then_some(())
        })
        .await;
        node(&mut world, number).restart().await;
    }
    all_copies_are_current(&world).await;
    for (number, happened) in ["process 0 was killed", "process 1 was killed"].into_iter().enumerate() {
        world.kill(number);
        let took = goes_on(&world, &client, happened).await;
        assert!(took <= RECOVERED, "{happened}: {took:?}");
        world.start(number).await;
    }
    let answered = load.end().await;
    let besides = ["the leader was killed", "a follower was killed", "process 0 was killed", "process 1 was killed"];
    ledger::assert_consistent_besides(&world, &client, &answered, &besides).await;
}

/// What the stream's leader accepts while it is cut off from the others is lost, and the relay has to notice that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_network_partition_of_the_leader_everything_goes_on_and_nothing_is_lost_doubled_or_reordered() {
    let network = match Network::of(3) {
        Ok(network) => network,
        Err(reason) => return skip("fault_network_partition", &[Right::Mounting, Right::Networks], &reason),
    };
    let mut world = World::beside(Nats::cluster_in(&network).await);
    let client = world.tenant("acme");
    world.start(0).await;
    world.start(1).await;
    let leader = all_copies_are_current(&world).await;
    let load = Load::start(&client, CLIENTS, rand::rng().random());
    network.cut(leader);
    goes_on(&world, &client, "the leader was cut off").await;
    network.mend(leader);
    all_copies_are_current(&world).await;
    goes_on(&world, &client, "the cut was mended").await;

    let answered = load.end().await;
    let besides = ["the leader was cut off", "the cut was mended"];
    ledger::assert_consistent_besides(&world, &client, &answered, &besides).await;
    drop(world);
    drop(network);
}
