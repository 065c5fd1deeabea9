//! Partitioned read models on two processes, one of which is killed; the number of partitions changes meanwhile.

use std::time::{Duration, Instant};

use kernel::RecordedEvent;
use serde_json::Value;
use sqlx::Row;
use uuid::Uuid;

use crate::client::Client;
use crate::ledger::{self, Answered, Verdict};
use crate::load::Load;
use crate::world::World;

/// The lock keys of partitions, with the Postgres backends that hold them.
const HOLDERS: &str = "SELECT objid::bigint AS lock, pid FROM pg_locks
     WHERE locktype = 'advisory' AND classid = 71647 AND granted
       AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) ORDER BY 1, 2";

/// The owner of each partition: lock key and backend process id.
async fn holders(world: &World) -> Vec<(i64, i32)> {
    let rows = sqlx::query(HOLDERS).fetch_all(&mut world.sql().await).await.unwrap();
    rows.iter().map(|row| (row.get("lock"), row.get("pid"))).collect()
}

async fn partitions(world: &World) -> usize {
    let count = "SELECT count(*) FROM projector.checkpoints";
    let count: i64 = sqlx::query_scalar(count).fetch_one(&mut world.sql().await).await.unwrap();
    usize::try_from(count).unwrap()
}

/// Waits until each partition has an owner that is not in `from`. Returns the time that took.
async fn taken_over(world: &World, from: &[(i64, i32)], what: &str) -> Duration {
    let began = Instant::now();
    testbed::eventually(what, async || {
        let now = holders(world).await;
        let all = now.len() == partitions(world).await;
        (all && now.iter().all(|(_, pid)| !from.iter().any(|(_, gone)| gone == pid))).then_some(())
    })
    .await;
    began.elapsed()
}

/// Changes the number of partitions of the read models with `inopsio migrate`.
fn divide(world: &World, into: &str) {
    let done = world.configured(&["migrate"], "INOPSIO_PROJECTION_PARTITIONS", into);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// Creates a tenant whose events belong to this one of two partitions.
fn tenant(world: &World, partition: u32) -> (Uuid, Client) {
    for attempt in 0.. {
        let slug = format!("tenant-{partition}-{attempt}");
        let made: Value = serde_json::from_str(&world.ok(&["--format", "json", "tenant", "create", &slug])).unwrap();
        let id: Uuid = serde_json::from_value(made["tenant_id"].clone()).unwrap();
        if eventstore::partition_of(id, 2) == partition {
            return (id, world.client(&slug));
        }
    }
    unreachable!("there is always another tenant")
}

async fn audit(world: &World, tenant: Uuid, answered: &[Answered], events: &[RecordedEvent]) -> Verdict {
    // Without the log's own commands, under which tenants' keys are created: their ids begin with chr(1).
    let commands = "SELECT command_id, last_position FROM log.commands
                    WHERE tenant_id = $1 AND left(command_id, 1) <> chr(1)";
    let commands = sqlx::query(commands).bind(tenant).fetch_all(&mut world.sql().await).await.unwrap();
    let commands = commands.iter().map(|row| (row.get(0), row.get::<i64, _>(1).cast_unsigned())).collect();
    let own: Vec<_> = events.iter().filter(|event| event.tenant.uuid() == tenant).cloned().collect();
    ledger::audit(answered, &own, commands)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_a_killed_process_hands_its_partitions_over_and_nothing_is_lost_doubled_or_out_of_order() {
    let mut world = World::new().await;
    divide(&world, "2");
    let tenants = [tenant(&world, 0), tenant(&world, 1)];
    world.start(0).await;
    testbed::eventually("one process applies all", async || {
        (holders(&world).await.len() == partitions(&world).await).then_some(())
    })
    .await;
    let loads: Vec<_> = (0..).zip(&tenants).map(|(seed, (_, client))| Load::start(client, 4, seed)).collect();

    let alone = holders(&world).await;
    world.start(1).await;
    testbed::eventually("the second has its half", async || {
        let now = holders(&world).await;
        let kept = now.iter().filter(|holder| alone.contains(holder)).count();
        (now.len() == alone.len() && kept == now.len() / 2).then_some(())
    })
    .await;
    let first: Vec<_> = holders(&world).await.into_iter().filter(|holder| alone.contains(holder)).collect();

    world.kill(0);
    println!("taken over after {:?}", taken_over(&world, &first, "the second has taken over").await);
    // Kill the second process too. While no process owns a partition, their number changes.
    let second = holders(&world).await;
    world.kill(1);
    divide(&world, "{leads=4, contacts=1}");
    world.start(0).await;
    taken_over(&world, &second, "the first has all again").await;
    divide(&world, "1");
    world.start(1).await;

    let mut answered = Vec::new();
    for load in loads {
        answered.push(load.end().await);
    }
    let events = world.verify(&tenants[0].1).await;
    for ((tenant, _), answered) in tenants.iter().zip(&answered) {
        let verdict = audit(&world, *tenant, answered, &events).await;
        println!("{verdict:?}");
        let Verdict { acknowledged, refused, .. } = verdict;
        assert!(acknowledged > 50, "that was no load: {verdict:?}");
        assert_eq!(verdict, Verdict { acknowledged, refused, ..Verdict::default() });
    }
    world.ok(&["projection", "drift"]);
    world.stop(0).await;
    world.stop(1).await;
}
