//! An event that can't be applied is parked with the later events of its aggregate; all others are applied.

use kernel::Position;
use projector::{ProjectionState, ReadModels};
use sqlx::Row;

use crate::lamps::Lamps;
use crate::road::Road;

/// The parked events: position, and whether the event itself failed.
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

/// Waits until the projection has this state. When connections are cut, a projection can reach its position and still fail a moment later,
/// when it uses a closed connection for its dead letters.
pub(crate) async fn recovers(models: &ReadModels, to: (ProjectionState, u64, u64)) {
    testbed::eventually(&format!("it is {to:?}"), async || (state(models).await == to).then_some(())).await;
}

/// Applies a batch of good events, a broken one, and good ones of the same lamp and of others.
async fn broken_by(payload: &str) {
    let road = Road::new(Lamps::new()).await;
    road.append_many(40).await;
    let before = road.append(0, "bad", "demo.lamp.lit", "{}").await;
    let broken = road.append(0, "bad", "demo.lamp.dimmed", payload).await;
    road.append_many(40).await;
    let after = road.append(0, "bad", "demo.lamp.lit", "{}").await;
    // A lamp of another tenant with the same id is another aggregate.
    road.append(1, "bad", "demo.lamp.lit", "{}").await;

    let running = road.start();
    road.visible(&running.models).await;
    assert_eq!(parked(&road).await, [(broken, true), (after, false)]);
    let rows = road.rows().await;
    assert_eq!(rows, road.expected(&[broken, after]).await);
    assert!(rows.switches.contains_key(&(road.tenants[0].uuid(), before.as_i64())));
    assert_eq!(state(&running.models).await, (ProjectionState::Parked, 2, 1));

    // Later events of the lamp are parked, too, also after a restart and from the feed.
    running.stop().await;
    let running = road.start();
    let later = road.append(0, "bad", "demo.lamp.dimmed", "{}").await;
    road.append(2, "good", "demo.lamp.lit", "{}").await;
    road.relay().await;
    road.visible(&running.models).await;
    assert_eq!(parked(&road).await, [(broken, true), (after, false), (later, false)]);
    assert_eq!(road.rows().await, road.expected(&[broken, after, later]).await);
    assert_eq!(state(&running.models).await, (ProjectionState::Parked, 3, 1));

    // A rebuild by a program that can apply the event leaves nothing parked.
    let mut lenient = Lamps::new();
    lenient.lenient = true;
    let rebuilt =
        projector::rebuild(&road.database.admin(), &road.database, &road.store, &lenient, |_| {}).await.unwrap();
    assert_eq!(rebuilt.parked_events, 0);
    assert_eq!(parked(&road).await, []);
    assert_eq!(road.rows().await, road.expected(&[]).await);
    assert_eq!(state(&running.models).await, (ProjectionState::Live, 0, 0));

    // The running projector has noticed that the lamp's events are no longer parked.
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

/// How often a lamp was switched, by the read model.
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
    // The personal data is also removed if the erasing event itself can't be applied.
    let itself = road.append(0, "worse", "demo.lamp.erased", r#"{"broken":"poison"}"#).await;
    road.visible(&running.models).await;
    assert_eq!(parked(&road).await, [(broken, true), (erased, false), (itself, true)]);
    assert_eq!(
        [switches(&road, "bad").await, switches(&road, "worse").await, switches(&road, "good").await],
        [0, 0, 3]
    );
    running.stop().await;

    // An erasure that an older program parked removes the personal data when it is retried.
    let remembered = "UPDATE demo.lamps SET switches = 3 WHERE lamp = 'bad'";
    sqlx::query(remembered).execute(&mut road.superuser().await).await.unwrap();
    let running = road.start_eager(&Lamps::new());
    testbed::eventually("it is forgotten", async || (switches(&road, "bad").await == 0).then_some(())).await;
    assert_eq!(parked(&road).await, [(broken, true), (erased, false), (itself, true)]);
    running.stop().await;
}
