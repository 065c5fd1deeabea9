//! An event that can't be applied waits, with the later ones of its aggregate; everything else flows.

use kernel::Position;
use projector::{ProjectionState, ReadModels};
use sqlx::Row;

use crate::lamps::Lamps;
use crate::road::Road;

/// What is parked: position and whether it is itself to blame.
pub(crate) async fn parked(road: &Road) -> Vec<(Position, bool)> {
    let query = sqlx::query(
        "SELECT position, state = 'parked' FROM dead.letters WHERE state IN ('parked', 'waiting') ORDER BY position",
    );
    let rows = query.fetch_all(&mut road.superuser().await).await.unwrap();
    rows.iter().map(|row| (Position::from_i64(row.get(0)), row.get(1))).collect()
}

pub(crate) async fn state(models: &ReadModels) -> (ProjectionState, u64, u64) {
    let status = models.status().await.unwrap();
    (status[0].state, status[0].parked_events, status[0].parked_aggregates)
}

/// Waits until it is so. Where connections are cut, a projection can be as far as it has to be and fail a moment later, when it looks
/// after its letters on one that is gone.
pub(crate) async fn recovers(models: &ReadModels, to: (ProjectionState, u64, u64)) {
    testbed::eventually(&format!("it is {to:?}"), async || (state(models).await == to).then_some(())).await;
}

/// In one batch: good ones, a broken one, good ones of the same and of other lamps.
async fn broken_by(payload: &str) {
    let road = Road::new(Lamps::new()).await;
    road.append_many(40).await;
    let before = road.append(0, "bad", "demo.lamp.lit", "{}").await;
    let broken = road.append(0, "bad", "demo.lamp.dimmed", payload).await;
    road.append_many(40).await;
    let after = road.append(0, "bad", "demo.lamp.lit", "{}").await;
    // Another tenant's lamp of that name is another lamp.
    road.append(1, "bad", "demo.lamp.lit", "{}").await;

    let running = road.start();
    road.visible(&running.models).await;
    assert_eq!(parked(&road).await, [(broken, true), (after, false)]);
    let rows = road.rows().await;
    assert_eq!(rows, road.expected(&[broken, after]).await);
    assert!(rows.switches.contains_key(&(road.tenants[0].uuid(), before.as_i64())));
    assert_eq!(state(&running.models).await, (ProjectionState::Parked, 2, 1));

    // Later ones wait too, after a restart and through the feed.
    running.stop().await;
    let running = road.start();
    let later = road.append(0, "bad", "demo.lamp.dimmed", "{}").await;
    road.append(2, "good", "demo.lamp.lit", "{}").await;
    road.relay().await;
    road.visible(&running.models).await;
    assert_eq!(parked(&road).await, [(broken, true), (after, false), (later, false)]);
    assert_eq!(road.rows().await, road.expected(&[broken, after, later]).await);
    assert_eq!(state(&running.models).await, (ProjectionState::Parked, 3, 1));

    // A program that understands it rebuilds, and nothing waits any more.
    let mut lenient = Lamps::new();
    lenient.lenient = true;
    let rebuilt =
        projector::rebuild(&road.database.admin(), &road.database, &road.store, &lenient, |_| {}).await.unwrap();
    assert_eq!(rebuilt.parked_events, 0);
    assert_eq!(parked(&road).await, []);
    assert_eq!(road.rows().await, road.expected(&[]).await);
    assert_eq!(state(&running.models).await, (ProjectionState::Live, 0, 0));

    // The running one has noticed that it may apply them again.
    road.append(0, "bad", "demo.lamp.lit", "{}").await;
    road.relay().await;
    road.visible(&running.models).await;
    road.visible(&road.distant_models()).await;
    assert_eq!(parked(&road).await, []);
    assert_eq!(road.rows().await, road.expected(&[]).await);
    running.stop().await;
}

#[tokio::test]
async fn an_event_that_the_projection_names_is_parked_with_what_follows_it() {
    broken_by(r#"{"broken":"poison"}"#).await;
}

#[tokio::test]
async fn an_event_that_the_database_refuses_is_found_and_parked() {
    broken_by(r#"{"broken":"sql"}"#).await;
}

#[tokio::test]
async fn an_event_on_which_the_projection_panics_is_found_and_parked() {
    broken_by(r#"{"broken":"panic"}"#).await;
}

#[tokio::test]
async fn a_rebuild_parks_what_still_cannot_be_applied() {
    let road = Road::new(Lamps::new()).await;
    road.append_many(40).await;
    let broken = road.append(0, "bad", "demo.lamp.lit", r#"{"broken":"sql"}"#).await;
    road.append_many(40).await;
    let after = road.append(0, "bad", "demo.lamp.lit", "{}").await;
    let database = &road.database;
    let rebuilt = projector::rebuild(&database.admin(), database, &road.store, &Lamps::new(), |_| {}).await.unwrap();
    assert_eq!(rebuilt.parked_events, 2);
    assert_eq!(parked(&road).await, [(broken, true), (after, false)]);
    assert_eq!(road.rows().await, road.expected(&[broken, after]).await);
    assert_eq!(state(&road.distant_models()).await, (ProjectionState::Parked, 2, 1));
}

/// How often a lamp was switched, as the read model tells it.
async fn switches(road: &Road, lamp: &str) -> i64 {
    let rows = road.rows().await;
    rows.lamps[&(road.tenants[0].uuid(), lamp.to_owned())].0
}

#[tokio::test]
async fn who_is_erased_behind_a_parked_event_is_forgotten_at_once() {
    let road = Road::new(Lamps::new()).await;
    let running = road.start();
    for lamp in ["bad", "good", "worse"] {
        road.append_run(0, lamp, 3).await;
    }
    let broken = road.append(0, "bad", "demo.lamp.dimmed", r#"{"broken":"poison"}"#).await;
    let erased = road.append(0, "bad", "demo.lamp.erased", "{}").await;
    // That it can't be applied itself is no way to be remembered.
    let itself = road.append(0, "worse", "demo.lamp.erased", r#"{"broken":"poison"}"#).await;
    road.visible(&running.models).await;
    assert_eq!(parked(&road).await, [(broken, true), (erased, false), (itself, true)]);
    assert_eq!(
        [switches(&road, "bad").await, switches(&road, "worse").await, switches(&road, "good").await],
        [0, 0, 3]
    );
    running.stop().await;

    // What an earlier program let wait is forgotten when it is tried again.
    let remembered = "UPDATE demo.lamps SET switches = 3 WHERE lamp = 'bad'";
    sqlx::query(remembered).execute(&mut road.superuser().await).await.unwrap();
    let running = road.start_eager(&Lamps::new());
    testbed::eventually("it is forgotten", async || (switches(&road, "bad").await == 0).then_some(())).await;
    assert_eq!(parked(&road).await, [(broken, true), (erased, false), (itself, true)]);
    running.stop().await;
}
