//! Partitions: each event takes effect once, whichever instance applies it and however the number of partitions changes.

use std::sync::Arc;
use std::time::Duration;

use eventstore::admin::Mode;
use kernel::Position;
use projector::{Error, Projection, ProjectionState, ReadModels, Settings};
use sqlx::{Executor, PgConnection};

use crate::lamps::Lamps;
use crate::road::{Road, Running};

const SHORT: Duration = Duration::from_millis(50);

async fn divide(road: &Road, into: u32) {
    projector::divide(&road.database.admin(), &road.database, "lamps", into, Mode::Apply).await.unwrap();
}

/// Holds the advisory lock of a partition, so that no instance applies it while the connection is open.
async fn hold(road: &Road, lock: &str) -> PgConnection {
    let mut superuser = road.superuser().await;
    sqlx::query("SELECT pg_advisory_lock(71647, hashtext($1))").bind(lock).execute(&mut superuser).await.unwrap();
    superuser
}

/// For each tenant, whether this instance applies its events.
fn applies(road: &Road, running: &Running) -> Vec<bool> {
    road.tenants.iter().map(|tenant| running.progress.reached(*tenant).is_some()).collect()
}

async fn partitions(models: &ReadModels) -> Vec<(u32, u32, Position, u64)> {
    let all = models.status().await.unwrap();
    all.iter().map(|one| (one.partition.number(), one.partition.of(), one.position, one.parked_events)).collect()
}

#[tokio::test]
async fn events_are_applied_once_while_the_partitions_change() {
    let road = Road::new(Lamps::new()).await;
    let running = road.start();
    let writing = async {
        for _ in 0..25 {
            road.feed(30).await;
        }
    };
    let dividing = async {
        for into in [4, 2, 8, 1, 2] {
            divide(&road, into).await;
            // The running instance continues with the new partitions.
            let behind = road.append(1, "hall", "demo.lamp.lit", "{}").await;
            running.models.wait_for(road.tenants[1], behind, Duration::from_secs(30)).await.unwrap();
        }
    };
    tokio::join!(writing, dividing);
    road.visible(&running.models).await;
    road.applied_once(&road.distant_models()).await;
    let numbers: Vec<_> = partitions(&running.models).await.iter().map(|one| (one.0, one.1)).collect();
    assert_eq!(numbers, [(0, 2), (1, 2)]);
    running.stop().await;
}

#[tokio::test]
async fn a_tenant_waits_for_its_own_partition_only() {
    let road = Road::new(Lamps::new()).await;
    divide(&road, 4).await;
    let held = hold(&road, "lamps/1/4").await;
    let running = road.start();
    let last = road.append_many(200).await;
    for models in [&running.models, &road.distant_models()] {
        for tenant in [road.tenants[0], road.tenants[2]] {
            models.wait_for(tenant, last, Duration::from_secs(30)).await.unwrap();
        }
        let behind = models.wait_for(road.tenants[1], last, SHORT).await.unwrap_err();
        assert_eq!((behind.wanted, behind.reached), (last, Position::START));
    }
    drop(held);
    road.applied_once(&running.models).await;
    running.stop().await;
}

#[tokio::test]
async fn partitions_at_different_positions_are_joined_and_divided_without_loss_or_double() {
    let road = Road::new(Lamps::new()).await;
    divide(&road, 4).await;
    let held = hold(&road, "lamps/1/4").await;
    let running = road.start();
    let last = road.append_many(200).await;
    running.models.wait_for(road.tenants[0], last, Duration::from_secs(30)).await.unwrap();
    running.models.wait_for(road.tenants[2], last, Duration::from_secs(30)).await.unwrap();
    running.stop().await;
    // No instance applies meanwhile, so the positions of each tenant must be kept through several changes.
    for into in [2, 1, 8, 1, 2] {
        divide(&road, into).await;
        let database = &road.database;
        let found = projector::drift(&database.admin(), database, &road.store, &Lamps::new(), 5, |_| {}).await.unwrap();
        assert_eq!((found.differences, found.position), (vec![], Position::START), "divided into {into}");
    }
    drop(held);
    let running = road.start();
    road.append_many(50).await;
    road.applied_once(&running.models).await;
    running.stop().await;
}

#[tokio::test]
async fn a_rebuild_brings_partitions_that_lag_to_the_same_position() {
    let road = Road::new(Lamps::new()).await;
    divide(&road, 2).await;
    let held = hold(&road, "lamps/1/2").await;
    let running = road.start();
    let last = road.append_many(200).await;
    running.models.wait_for(road.tenants[0], last, Duration::from_secs(30)).await.unwrap();
    let database = &road.database;
    projector::rebuild(&database.admin(), database, &road.store, &Lamps::new(), |_| {}).await.unwrap();
    assert_eq!(partitions(&road.distant_models()).await, [(0, 2, last, 0), (1, 2, last, 0)]);
    assert_eq!(road.rows().await, road.expected(&[]).await);
    drop(held);
    road.append_many(50).await;
    road.applied_once(&running.models).await;
    running.stop().await;
}

#[tokio::test]
async fn two_instances_share_and_the_one_that_is_left_applies_all() {
    let road = Road::new(Lamps::new()).await;
    divide(&road, 2).await;
    let first = road.start();
    testbed::eventually("the first applies all", async || (applies(&road, &first) == [true; 3]).then_some(())).await;
    let second = road.start();
    testbed::eventually("the second applies its half", async || {
        (applies(&road, &first) == [true, false, true] && applies(&road, &second) == [false, true, false]).then_some(())
    })
    .await;
    road.feed(100).await;
    // Both instances know when the events are applied, whichever applies them.
    road.visible(&first.models).await;
    road.visible(&second.models).await;
    // Killed: its connections are closed without releasing anything first.
    first.die().await;
    road.feed(100).await;
    road.visible(&second.models).await;
    assert_eq!(applies(&road, &second), [true; 3]);
    assert_eq!(road.rows().await, road.expected(&[]).await);
    second.stop().await;
}

#[tokio::test]
async fn an_instance_that_cannot_apply_the_tables_gets_no_share() {
    let road = Road::new(Lamps::new()).await;
    divide(&road, 2).await;
    let newer: Vec<Arc<dyn Projection>> = vec![Arc::new(Lamps { version: 2, ..Lamps::new() })];
    let settings = Settings { stand_by: SHORT, ..Settings::default() };
    let newer = road.start_with(newer, settings);
    let running = road.start();
    road.append_many(50).await;
    road.visible(&running.models).await;
    assert_eq!(applies(&road, &running), [true; 3]);
    let states: Vec<_> = newer.models.status().await.unwrap().iter().map(|one| one.state).collect();
    assert_eq!(states, [ProjectionState::NeedsRebuild; 2]);
    newer.stop().await;
    running.stop().await;
}

#[tokio::test]
async fn a_share_that_nobody_takes_is_applied_by_who_is_there() {
    let road = Road::new(Lamps::new()).await;
    divide(&road, 2).await;
    // An instance announces itself but never takes a partition.
    let mut idle = road.superuser().await;
    let present = "SELECT pg_advisory_lock_shared(71649, hashtext('lamps'))";
    sqlx::query(present).execute(&mut idle).await.unwrap();
    let running = road.start();
    road.append_many(100).await;
    road.applied_once(&running.models).await;
    running.stop().await;
}

#[tokio::test]
async fn what_is_parked_is_counted_where_its_tenant_is() {
    let road = Road::new(Lamps::new()).await;
    divide(&road, 2).await;
    let running = road.start();
    let poison = road.append(1, "hall", "demo.lamp.lit", r#"{"x":"poison"}"#).await;
    let after = road.append(1, "hall", "demo.lamp.dimmed", "{}").await;
    road.append(0, "hall", "demo.lamp.lit", "{}").await;
    road.visible(&running.models).await;
    running.stop().await;
    let parked = async || partitions(&road.distant_models()).await.iter().map(|one| one.3).collect::<Vec<_>>();
    assert_eq!(parked().await, [0, 2]);
    divide(&road, 4).await;
    assert_eq!(parked().await, [0, 2, 0, 0]);
    divide(&road, 1).await;
    assert_eq!(parked().await, [2]);
    // Later events of the aggregate are still parked by the instances that apply now.
    let running = road.start();
    let third = road.append(1, "hall", "demo.lamp.lit", "{}").await;
    road.visible(&running.models).await;
    running.stop().await;
    assert_eq!(parked().await, [3]);
    assert_eq!(road.rows().await, road.expected(&[poison, after, third]).await);
}

#[tokio::test]
async fn a_number_of_partitions_that_is_not_possible_is_refused_and_changes_nothing() {
    let road = Road::new(Lamps::new()).await;
    road.append_many(20).await;
    let (admin, database) = (road.database.admin(), &road.database);
    for into in [0, 3, 65, 128] {
        let refused = projector::divide(&admin, database, "lamps", into, Mode::Apply).await.unwrap_err();
        assert!(refused.to_string().contains("allowed: 1, 2, 4, … 64"), "{refused}");
    }
    let unknown = projector::divide(&admin, database, "nonsense", 2, Mode::Apply).await.unwrap_err();
    assert!(matches!(unknown, Error::NotMigrated { .. }), "{unknown:?}");
    let planned = projector::divide(&admin, database, "lamps", 8, Mode::DryRun).await.unwrap();
    assert_eq!((planned.from, planned.into), (1, 8));
    assert_eq!(partitions(&road.distant_models()).await, [(0, 1, Position::START, 0)]);
}

#[tokio::test]
async fn tables_of_before_there_were_partitions_become_one() {
    let road = Road::new(Lamps::new()).await;
    let running = road.start();
    let last = road.append_many(30).await;
    road.visible(&running.models).await;
    running.stop().await;
    let before = "ALTER TABLE projector.checkpoints DROP CONSTRAINT checkpoints_key, DROP COLUMN partition,
         DROP COLUMN partitions, DROP COLUMN reached;
         ALTER TABLE projector.checkpoints ADD CONSTRAINT checkpoints_pkey PRIMARY KEY (projection)";
    road.superuser().await.execute(before).await.unwrap();
    let (admin, database) = (road.database.admin(), &road.database);
    let projections: Vec<Arc<dyn Projection>> = vec![Arc::new(Lamps::new())];
    // `plan` changes nothing; after `migrate` the projection continues.
    assert_eq!(projector::divide(&admin, database, "lamps", 2, Mode::DryRun).await.unwrap().from, 1);
    let planned = projector::plan(&admin, database, &projections).await.unwrap();
    let migrated = projector::migrate(&admin, database, &projections).await.unwrap();
    assert_eq!((planned, migrated), Default::default());
    assert_eq!(partitions(&road.distant_models()).await, [(0, 1, last, 0)]);
    let running = road.start();
    road.append_many(30).await;
    road.applied_once(&running.models).await;
    running.stop().await;
}
