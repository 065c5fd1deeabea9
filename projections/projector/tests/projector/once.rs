//! Each event takes effect exactly once, whichever instance applies it and whatever is killed.

use std::sync::Arc;
use std::time::Duration;

use projector::{BeginError, CatchUpTimeout, ProjectionState, Settings};
use sqlx::Executor;

use crate::lamps::Lamps;
use crate::parking::recovers;
use crate::road::{LONG, Road};

#[tokio::test]
async fn events_become_rows_and_those_that_nobody_wants_only_move_the_checkpoint() {
    let road = Road::new(Lamps::new()).await;
    let running = road.start();
    road.feed(200).await;
    road.applied_once(&running.models).await;

    road.append(0, "attic", "demo.lamp.dusted", "{}").await;
    road.relay().await;
    road.visible(&running.models).await;
    // The checkpoint is stored soon, so that other processes see it, too.
    road.applied_once(&road.distant_models()).await;
    running.stop().await;
}

#[tokio::test]
async fn a_connection_that_is_cut_in_the_middle_of_a_batch_loses_and_doubles_nothing() {
    let lamps = Lamps::gated();
    let road = Road::new(lamps.clone()).await;
    let running = road.start();
    road.feed(60).await;
    // The rows are written, the transaction is open.
    testbed::eventually("a batch is half done", async || (lamps.waiting() == 1).then_some(())).await;
    assert_eq!(road.cut().await, 1);
    lamps.open();
    road.feed(40).await;
    road.applied_once(&running.models).await;
    running.stop().await;
}

#[tokio::test]
async fn connections_cut_again_and_again_lose_and_double_nothing() {
    let road = Road::new(Lamps::new()).await;
    let running = road.start();
    for _ in 0..15 {
        road.feed(30).await;
        road.cut().await;
    }
    road.applied_once(&running.models).await;
    running.stop().await;
}

#[tokio::test]
async fn of_two_instances_one_applies_and_the_other_takes_over() {
    let road = Road::new(Lamps::new()).await;
    let (first, second) = (road.start(), road.start());
    road.feed(50).await;
    // Both instances know when the events are applied, whichever applies them.
    road.visible(&first.models).await;
    road.visible(&second.models).await;
    first.stop().await;
    road.feed(50).await;
    road.applied_once(&second.models).await;
    second.stop().await;
}

#[tokio::test]
async fn who_finds_the_checkpoint_moved_writes_nothing_and_looks_again() {
    let road = Road::new(Lamps::new()).await;
    let running = road.start();
    road.feed(50).await;
    road.visible(&running.models).await;
    road.visible(&road.distant_models()).await;

    // As if another instance had started from the beginning while this one assumes that it has caught up.
    road.take_back().await;
    road.append(0, "cellar", "demo.lamp.lit", "{}").await;
    road.relay().await;
    road.applied_once(&road.distant_models()).await;
    running.stop().await;
}

#[tokio::test]
async fn commits_that_a_crash_took_back_are_made_again_although_nothing_new_comes() {
    let road = Road::new(Lamps::new()).await;
    let running = road.start();
    road.feed(50).await;
    road.visible(&running.models).await;
    road.visible(&road.distant_models()).await;

    road.crash().await;
    road.applied_once(&road.distant_models()).await;
    running.stop().await;
}

#[tokio::test]
async fn what_a_crash_took_back_is_not_missing_in_a_transaction_at_its_position() {
    let road = Road::new(Lamps::new()).await;
    let settings = Settings { poll_interval: Duration::from_hours(1), ..Settings::default() };
    let running = road.start_with(vec![Arc::new(Lamps::new())], settings);
    let last = road.feed(50).await;
    road.visible(&running.models).await;
    road.visible(&road.distant_models()).await;

    // The worker notices with the next event at the earliest, and says until then that everything is visible.
    road.crash().await;
    let behind = running.models.begin_at(road.tenants[0], last, Duration::ZERO).await.unwrap_err();
    assert!(matches!(behind, BeginError::Behind(CatchUpTimeout { wanted, .. }) if wanted == last), "{behind:?}");
    let last = road.append(0, "hall", "demo.lamp.lit", "{}").await;
    road.relay().await;
    for tenant in road.tenants {
        let mut tables = running.models.begin_at(tenant, last, LONG).await.unwrap();
        let rows = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM switches").fetch_one(&mut *tables).await;
        let expected = road.expected(&[]).await.switches.keys().filter(|(of, _)| *of == tenant.uuid()).count();
        assert_eq!(rows.unwrap(), expected as i64);
    }
    running.stop().await;
}

#[tokio::test]
async fn a_database_that_is_not_as_it_should_be_parks_nothing_and_shows() {
    let road = Road::new(Lamps::new()).await;
    let running = road.start();
    let mut superuser = road.superuser().await;
    superuser.execute("ALTER TABLE demo.switches RENAME TO hidden").await.unwrap();
    road.append_many(50).await;
    testbed::eventually("the status says so", async || {
        let status = running.models.status().await.unwrap();
        (status[0].state == ProjectionState::Failing).then_some(())
    })
    .await;
    superuser.execute("ALTER TABLE demo.hidden RENAME TO switches").await.unwrap();
    road.applied_once(&running.models).await;
    recovers(&running.models, (ProjectionState::Live, 0, 0)).await;
    assert_eq!(running.models.status().await.unwrap()[0].lag, 0);
    running.stop().await;
}
