//! Cut connections to Postgres and slow consumers under load.

use rand::Rng;
use testbed::{Hold, eventually};

use crate::ledger;
use crate::load::Load;
use crate::world::World;

const CLIENTS: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_connection_cut_inside_a_transaction_loses_doubles_and_reorders_nothing() {
    let mut world = World::new().await;
    let client = world.tenant("acme");
    world.start(0).await;
    let load = Load::start(&client, CLIENTS, rand::rng().random());
    world.grows(50).await;
    for (moment, table, condition) in [
        ("INSERT", "log.events", "true"),
        ("INSERT", "log.commands", "true"),
        ("UPDATE", "projector.checkpoints", "NEW.projection = 'leads'"),
    ] {
        let hold = Hold::on(&world.superuser(), moment, table, condition).await;
        hold.reached().await;
        let cut = world.cut_connections().await;
        assert!(cut > 0);
        hold.end().await;
        world.grows(50).await;
        println!("{cut} connections were cut, one of them at {moment} on {table}; it goes on");
    }
    // Several times at arbitrary points.
    for _ in 0..6 {
        world.grows(10).await;
        world.cut_connections().await;
    }
    let answered = load.end().await;
    ledger::assert_consistent(&world, &client, &answered).await;
    world.stop(0).await;
}

/// One read model is blocked while a thousand events come, more than are buffered for it. Other read models and writers are not affected.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_slow_consumer_holds_up_nobody_and_misses_nothing() {
    let mut world = World::new().await;
    let client = world.tenant("acme");
    world.start(0).await;
    let load = Load::start(&client, CLIENTS, rand::rng().random());
    world.grows(50).await;
    let moved = "NEW.projection = 'leads' AND NEW.position > OLD.position";
    let hold = Hold::on(&world.superuser(), "UPDATE", "projector.checkpoints", moved).await;
    hold.reached().await;
    let at = world.count().await;
    world.grows(1_000).await;
    let position = async |projection: &str| -> i64 {
        let position = "SELECT position FROM projector.checkpoints WHERE projection = $1";
        sqlx::query_scalar(position).bind(projection).fetch_one(&mut world.sql().await).await.unwrap()
    };
    eventually("another read model goes on", async || (position("contacts").await > at + 500).then_some(())).await;
    let stood = position("leads").await;
    assert!(stood <= at, "it went on: {stood} after {at}");
    hold.end().await;
    let answered = load.end().await;
    ledger::assert_consistent(&world, &client, &answered).await;
    world.stop(0).await;
}
