//! Recovery of each server under load. The recovery times are only printed, because other tests run on the same machine; `make bench`
//! measures them.

use std::time::{Duration, Instant};

use rand::Rng;
use serde_json::json;

use crate::ledger;
use crate::load::Load;
use crate::stream;
use crate::world::{CRM, World};

const CLIENTS: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_recovery_of_each_part_under_load_loses_doubles_and_reorders_nothing() {
    let mut world = World::new().await;
    let mut client = world.tenant("acme");
    world.start(0).await;
    let load = Load::start(&client, CLIENTS, rand::rng().random());
    let mut besides = Vec::new();
    world.grows(100).await;

    world.kill(0);
    let began = Instant::now();
    world.start(0).await;
    let serving = began.elapsed();
    besides.push(client.post("after inopsio", "/v1/crm/leads", &json!({ "name": "after inopsio" })).await);
    println!("inopsio killed: serving after {serving:?}, first command after {:?}", began.elapsed());
    world.grows(100).await;

    tokio::task::block_in_place(|| world.postgres.kill());
    tokio::task::block_in_place(|| world.postgres.restart());
    let accepts = Instant::now();
    besides.push(client.post("after Postgres", "/v1/crm/leads", &json!({ "name": "after Postgres" })).await);
    println!("Postgres killed and restarted: first command {:?} after it accepts", accepts.elapsed());
    world.grows(100).await;

    // Commands continue meanwhile. The outage is measured in commands, not in time.
    let bus = world.bus().await;
    world.nats.kill();
    let (from, down) = (world.count().await, Instant::now());
    world.grows(1_000).await;
    let (missing, down) = (world.count().await - from, down.elapsed());
    world.nats.restart().await;
    let began = Instant::now();
    let last = world.count().await.cast_unsigned();
    testbed::eventually("the stream has what it missed", async || {
        bus.stream_state(CRM).await.ok().flatten().filter(|state| state.last >= last)
    })
    .await;
    let took = began.elapsed();
    let rate = f64::from(u32::try_from(missing).unwrap()) / took.max(Duration::from_millis(1)).as_secs_f64();
    println!("nats-server down for {down:?}, {missing} events meanwhile: in the stream after {took:?} ({rate:.0}/s)");

    let answered = load.end().await;
    ledger::assert_consistent_besides(&world, &client, &answered, &["after inopsio", "after Postgres"]).await;
    assert!(besides.iter().all(|done| done.status.is_success()), "{besides:?}");
    stream::ends_at(&bus, world.count().await.cast_unsigned()).await;
    world.stop(0).await;
}
