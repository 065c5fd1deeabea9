//! Archiving under load, with the archiving process killed in the middle.

use rand::Rng;
use testbed::Hold;

use crate::ledger;
use crate::load::Load;
use crate::world::World;

const CLIENTS: usize = 8;

/// Archives all streams that were not written to in the last moment; the batch size follows.
const ARCHIVE: [&str; 6] = ["archive", "--older-than-days", "0", "--service", "crm", "--batch"];

async fn places(world: &World) -> (i64, i64) {
    let count = "SELECT (SELECT count(*) FROM ONLY log.events), (SELECT count(*) FROM log.archived)";
    sqlx::query_as(count).fetch_one(&mut world.sql().await).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_archive_killed_in_the_middle_under_load_loses_doubles_and_reorders_nothing() {
    let mut world = World::new().await;
    let client = world.tenant("acme");
    world.start(0).await;
    let load = Load::start(&client, CLIENTS, rand::rng().random());
    world.grows(200).await;
    let archive = [&ARCHIVE[..], &["20"]].concat();
    println!("{}", tokio::task::block_in_place(|| world.ok(&archive)));
    world.grows(100).await;

    let hold = Hold::on(&world.superuser(), "INSERT", "log.archived", "true").await;
    let (_, archived) = places(&world).await;
    let mut killed = world.spawn(&archive);
    hold.reached().await;
    world.grows(50).await;
    killed.kill().unwrap();
    killed.wait().unwrap();
    hold.end().await;
    assert_eq!(places(&world).await.1, archived, "nothing of what was under way has come");

    world.grows(50).await;
    testbed::eventually("what the killed one held is free", async || {
        tokio::task::block_in_place(|| world.run(&archive)).status.success().then_some(())
    })
    .await;
    let (hot, now) = places(&world).await;
    println!("{hot} events are hot, {now} archived");
    assert!(now > archived);
    let answered = load.end().await;
    ledger::assert_consistent(&world, &client, &answered).await;
    world.stop(0).await;
}
