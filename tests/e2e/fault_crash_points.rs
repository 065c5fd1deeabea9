//! kill -9 at defined points. A lock or a trigger in Postgres holds the transaction at that point, or the server that is waited for is
//! suspended.

use rand::Rng;
use serde_json::json;
use testbed::{Hold, eventually};

use crate::ledger;
use crate::load::Load;
use crate::world::World;

const CLIENTS: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_crash_points_of_append_relay_read_model_and_rebuild_lose_double_and_reorder_nothing() {
    let mut world = World::new().await;
    let client = world.tenant("acme");
    world.start(0).await;
    let load = Load::start(&client, CLIENTS, rand::rng().random());
    world.grows(50).await;

    before_the_append(&mut world).await;
    goes_on(&mut world, "before the append").await;
    after_the_append_before_the_answer(&mut world).await;
    goes_on(&mut world, "after the append, before the answer").await;
    inside_a_relay_batch(&mut world).await;
    goes_on(&mut world, "inside a relay batch").await;
    between_view_write_and_checkpoint(&mut world).await;
    goes_on(&mut world, "between view write and checkpoint").await;
    inside_a_rebuilds_switch(&mut world).await;
    world.grows(50).await;
    println!("killed inside a rebuild's switch; the live read model goes on");

    let answered = load.end().await;
    ledger::assert_consistent(&world, &client, &answered).await;
    world.stop(0).await;
}

async fn goes_on(world: &mut World, killed: &str) {
    world.start(0).await;
    world.grows(50).await;
    println!("killed {killed}; it goes on");
}

/// The command is decided, and its append waits for the writers' lock.
async fn before_the_append(world: &mut World) {
    let mut writer = world.sql().await;
    // The advisory lock that `log.append` takes first.
    sqlx::query("SELECT pg_advisory_lock(7164702801)").execute(&mut writer).await.unwrap();
    let before = world.count().await;
    eventually("an append waits", async || {
        let waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
        let waiting: i64 = sqlx::query_scalar(waits).fetch_one(&mut world.sql().await).await.unwrap();
        (waiting > 0).then_some(())
    })
    .await;
    world.kill(0);
    // Close the killed process's connections: an append that has not begun does not happen.
    world.cut_connections().await;
    assert_eq!(world.count().await, before);
}

/// Postgres has committed, but the process is suspended before it can answer, and then killed.
async fn after_the_append_before_the_answer(world: &mut World) {
    let mut hold = Hold::on(&world.superuser(), "INSERT", "log.events", "true").await;
    hold.reached().await;
    let before = world.count().await;
    world.signal(0, "STOP");
    hold.let_go().await;
    eventually("it is committed", async || (world.count().await > before).then_some(())).await;
    world.kill(0);
    hold.end().await;
}

/// The nats-server is suspended. When it wakes it accepts some of the messages, but nobody gets its acks.
async fn inside_a_relay_batch(world: &mut World) {
    world.nats.signal("STOP");
    world.grows(200).await;
    world.kill(0);
    world.nats.signal("CONT");
}

/// The rows are written, but the checkpoint is not, and nothing is committed.
async fn between_view_write_and_checkpoint(world: &mut World) {
    let moved = "NEW.projection = 'leads' AND NEW.position > OLD.position";
    let hold = Hold::on(&world.superuser(), "UPDATE", "projector.checkpoints", moved).await;
    hold.reached().await;
    world.kill(0);
    hold.end().await;
}

/// The new tables have replaced the old ones, but nothing is committed.
async fn inside_a_rebuilds_switch(world: &mut World) {
    let replaced = "NEW.projection = 'leads' AND NEW.generation > OLD.generation";
    let hold = Hold::on(&world.superuser(), "UPDATE", "projector.checkpoints", replaced).await;
    let mut rebuild = world.spawn(&["projection", "rebuild", "leads"]);
    hold.reached().await;
    rebuild.kill().unwrap();
    rebuild.wait().unwrap();
    hold.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_crash_point_between_a_sagas_state_and_its_command_does_the_command_once() {
    const ROWS: i64 = 40;
    let mut world = World::new().await;
    let client = world.tenant("acme");
    world.start(0).await;
    let csv = (0..ROWS).fold("name\n".to_owned(), |csv, row| format!("{csv}Lead {row}\n"));
    let imported = client.upload("file", "/v1/crm/leads/import", csv).await;
    assert_eq!(imported.body["taken"], ROWS, "{imported:?}");
    let path = format!("/v1/crm/imports/{}", imported.body["import_id"].as_str().unwrap());

    let count = async |condition: &str| -> i64 {
        let count = format!("SELECT count(*) FROM log.events WHERE {condition}");
        sqlx::query_scalar(&count).fetch_one(&mut world.sql().await).await.unwrap()
    };
    let (saga, withdrawn) = ("aggregate_type LIKE '%.saga'", "event_type = 'crm.lead.withdrawn'");
    let hold = Hold::on(&world.superuser(), "INSERT", "log.events", "NEW.event_type = 'crm.lead.withdrawn'").await;
    client.done(&format!("{path}/revert"), json!({ "reason": "the wrong list" })).await;
    hold.reached().await;
    // The saga has recorded the step, but its command is not carried out.
    assert!(count(saga).await > 0);
    assert_eq!(count(withdrawn).await, 0);
    world.kill(0);
    world.cut_connections().await;
    hold.end().await;
    world.start(0).await;
    eventually("the import is taken back", async || (client.get(&path).await.body["revert"] == "done").then_some(()))
        .await;
    let leads = "SELECT count(DISTINCT aggregate_id) FROM log.events WHERE event_type = 'crm.lead.withdrawn'";
    let leads: i64 = sqlx::query_scalar(leads).fetch_one(&mut world.sql().await).await.unwrap();
    let events: i64 = sqlx::query_scalar("SELECT count(*) FROM log.events WHERE event_type = 'crm.lead.withdrawn'")
        .fetch_one(&mut world.sql().await)
        .await
        .unwrap();
    assert_eq!((leads, events), (ROWS, ROWS), "each lead is withdrawn once");
    world.verify(&client).await;
    world.stop(0).await;
}
