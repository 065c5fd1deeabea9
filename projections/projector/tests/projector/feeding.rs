//! The source of events: the feed if it has no gap, otherwise the log.

use std::sync::Arc;
use std::time::Duration;

use kernel::Position;
use nats::StreamSettings;
use projector::{Projection, Settings};

use crate::lamps::Lamps;
use crate::road::{DEMO, Road};

#[tokio::test]
async fn a_projection_that_is_older_than_the_stream_catches_up_from_the_log() {
    let road = Road::new(Lamps::new()).await;
    let head = road.append_many(300).await;
    // The stream begins at the log's current position, so earlier events are only in the log.
    road.bus.delete_stream(DEMO).await.unwrap();
    road.bus
        .ensure_stream(DEMO, StreamSettings { first_seq: head.next().0, ..StreamSettings::default() })
        .await
        .unwrap();
    let running = road.start();
    road.feed(30).await;
    road.applied_once(&running.models).await;
    running.stop().await;
}

#[tokio::test]
async fn a_projection_that_falls_behind_the_feed_meets_it_again() {
    let lamps = Lamps::gated();
    let road = Road::new(lamps.clone()).await;
    let projections: Vec<Arc<dyn Projection>> = vec![Arc::new(lamps.clone())];
    // Only one batch of the feed is buffered, and the log is read in many small batches.
    let settings = Settings { buffered_batches: 1, log_batch: 16, ..Settings::default() };
    let running = road.start_with(projections, settings);
    for _ in 0..20 {
        road.feed(20).await;
    }
    testbed::eventually("a batch waits", async || (lamps.waiting() == 1).then_some(())).await;
    lamps.open();
    road.feed(20).await;
    road.applied_once(&running.models).await;
    running.stop().await;
}

#[tokio::test]
async fn nobody_waits_for_another_tenants_bulk() {
    let lamps = Lamps::new();
    let road = Road::new(lamps.clone()).await;
    // After each batch the worker waits for an hour, unless something ends the wait.
    let settings = Settings { busy: 1, batch_interval: Duration::from_hours(1), ..Settings::default() };
    let running = road.start_with(vec![Arc::new(lamps)], settings);
    for _ in 0..3 {
        road.append_run(0, "hall", 70).await;
        road.relay().await;
        let position = road.append(1, "attic", "demo.lamp.lit", "{}").await;
        road.relay().await;
        running.models.wait_for(road.tenants[1], position, Duration::from_secs(30)).await.unwrap();
    }
    assert_eq!(road.rows().await, road.expected(&[]).await);
    running.stop().await;
}

#[tokio::test]
async fn a_projection_rests_no_longer_than_until_enough_waits() {
    let lamps = Lamps::new();
    let road = Road::new(lamps.clone()).await;
    let settings = Settings { busy: 1, enough: 20, batch_interval: Duration::from_hours(1), ..Settings::default() };
    let running = road.start_with(vec![Arc::new(lamps)], settings);
    road.append_run(0, "hall", 5).await;
    road.relay().await;
    road.append_run(0, "hall", 25).await;
    road.relay().await;
    // However the thirty events are batched, fewer than `enough` (twenty) remain unapplied.
    running.models.wait_for(road.tenants[0], Position(11), Duration::from_secs(30)).await.unwrap();
    running.stop().await;
}

#[tokio::test]
async fn a_stream_that_is_deleted_and_filled_again_changes_nothing() {
    let road = Road::new(Lamps::new()).await;
    let running = road.start();
    for _ in 0..3 {
        road.feed(50).await;
        road.bus.delete_stream(DEMO).await.unwrap();
        road.feed(20).await;
    }
    road.applied_once(&running.models).await;
    running.stop().await;
}

#[tokio::test]
async fn a_killed_bus_delays_and_does_not_stop() {
    let mut road = Road::new(Lamps::new()).await;
    let running = road.start();
    road.feed(50).await;
    road.visible(&running.models).await;

    road.nats.kill();
    road.append_many(50).await;
    road.applied_once(&running.models).await;

    road.nats.restart().await;
    testbed::eventually("the bus is back", async || road.bus.stream_state(DEMO).await.ok().flatten()).await;
    road.relay().await;
    road.feed(50).await;
    road.applied_once(&running.models).await;
    running.stop().await;
}

#[tokio::test]
async fn what_is_asked_for_too_early_is_refused_with_where_it_is() {
    let lamps = Lamps::gated();
    let road = Road::new(lamps.clone()).await;
    let running = road.start();
    let position = road.append(0, "hall", "demo.lamp.lit", "{}").await;
    for models in [&running.models, &road.distant_models()] {
        let behind = models.wait_for(road.tenants[0], position, Duration::from_millis(50)).await.unwrap_err();
        assert_eq!((behind.wanted, behind.reached), (position, Position::START));
        models.wait_for(road.tenants[0], Position::START, Duration::ZERO).await.unwrap();
    }
    lamps.open();
    for models in [&running.models, &road.distant_models()] {
        models.wait_for(road.tenants[0], position, Duration::from_secs(30)).await.unwrap();
    }
    running.stop().await;
}

#[tokio::test]
async fn a_stream_that_is_not_this_logs_is_not_applied() {
    // The stream has events from before the log was restored from a backup. The relay, in another process, is stuck.
    let before = Road::new(Lamps::new()).await;
    before.append_many(40).await;
    let lost = before.store.read_after(Position::START, 100).await.unwrap();
    let mut road = Road::new(Lamps::new()).await;
    road.tenants = before.tenants;
    road.bus.publish(DEMO, &lost, Position::START).await.unwrap();

    let running = road.start();
    for count in [10, 60] {
        road.append_many(count).await;
        road.applied_once(&running.models).await;
    }
    running.stop().await;
}

#[tokio::test]
async fn a_projection_whose_connection_is_silent_connects_again() {
    let lamps = Lamps::new();
    let road = Road::new(lamps.clone()).await;
    let (way, silence) = testbed::Silence::on_the_way_to(&road.database).await;
    let settings = Settings { stand_by: Duration::from_millis(100), ..Settings::default() };
    let running = road.start_by_way_of(&way, vec![Arc::new(lamps)], settings);
    road.append_many(20).await;
    road.visible(&running.models).await;
    silence.begin().await;
    road.append_many(20).await;
    road.applied_once(&running.models).await;
    running.stop().await;
}
