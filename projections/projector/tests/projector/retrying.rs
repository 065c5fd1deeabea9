//! Parked events are retried automatically: none is lost or applied twice, and the order is kept.

use projector::ProjectionState;
use sqlx::Row;

use crate::lamps::Lamps;
use crate::parking::{parked, recovers, state};
use crate::road::Road;

const POISON: &str = r#"{"broken":"poison"}"#;

fn mended() -> Lamps {
    let mut lamps = Lamps::new();
    lamps.lenient = true;
    lamps
}

/// The number of attempts of the dead letter.
async fn attempts(road: &Road) -> i32 {
    let query = sqlx::query("SELECT attempts FROM dead.letters WHERE state = 'parked'");
    query.fetch_optional(&mut road.superuser().await).await.unwrap().map_or(0, |row| row.get(0))
}

async fn drained(road: &Road) {
    testbed::eventually("nothing is parked any more", async || parked(road).await.is_empty().then_some(())).await;
}

#[tokio::test]
async fn fault_poison_with_many_behind_it_is_drained_in_order_by_a_mended_program() {
    let road = Road::new(Lamps::new()).await;
    let broken = road.append(0, "bad", "demo.lamp.lit", POISON).await;
    let mut behind = Vec::new();
    for nth in 0..100 {
        let event = if nth % 3 == 0 { "demo.lamp.lit" } else { "demo.lamp.dimmed" };
        behind.push(road.append(0, "bad", event, "{}").await);
    }
    road.append_many(60).await;
    let running = road.start_eager(&Lamps::new());
    road.visible(&running.models).await;
    // Events of other aggregates are applied.
    let waiting: Vec<_> = std::iter::once(broken).chain(behind.iter().copied()).collect();
    assert_eq!(road.rows().await, road.expected(&waiting).await);
    assert_eq!(state(&running.models).await, (ProjectionState::Parked, 101, 1));
    testbed::eventually("it is tried again and again", async || (attempts(&road).await >= 4).then_some(())).await;
    assert_eq!(road.rows().await, road.expected(&waiting).await, "an attempt that failed left something");
    let shown: (Vec<String>, bool) =
        sqlx::query_as("SELECT errors, next_attempt_at > changed_at FROM dead.letters WHERE state = 'parked'")
            .fetch_one(&mut road.superuser().await)
            .await
            .unwrap();
    assert_eq!(shown, (vec!["it is poison".to_owned()], true));
    running.stop().await;

    let running = road.start_eager(&mended());
    drained(&road).await;
    // No event is lost, applied twice or out of order. (A switch applied twice would fail, and `lit` depends on the order.)
    assert_eq!(road.rows().await, road.expected(&[]).await);
    assert_eq!(state(&running.models).await, (ProjectionState::Live, 0, 0));
    // From now on events of the aggregate are applied like all others.
    road.append(0, "bad", "demo.lamp.lit", "{}").await;
    road.applied_once(&running.models).await;
    running.stop().await;
}

#[tokio::test]
async fn more_than_fits_into_one_transaction_is_drained_in_order_while_others_flow() {
    let road = Road::new(Lamps::new()).await;
    road.append(0, "bad", "demo.lamp.lit", POISON).await;
    road.append_run(0, "bad", 1_300).await;
    let running = road.start_eager(&Lamps::new());
    road.visible(&running.models).await;
    assert_eq!(state(&running.models).await, (ProjectionState::Parked, 1_301, 1));
    running.stop().await;
    let running = road.start_eager(&mended());
    road.append_many(60).await;
    drained(&road).await;
    road.applied_once(&running.models).await;
    assert_eq!(state(&running.models).await, (ProjectionState::Live, 0, 0));
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM dead.letters WHERE state <> 'applied'")
        .fetch_one(&mut road.superuser().await)
        .await
        .unwrap();
    assert_eq!(left, 0);
    running.stop().await;
}

#[tokio::test]
async fn where_another_event_fails_the_ones_before_it_are_applied_and_it_takes_the_place() {
    let road = Road::new(Lamps::new()).await;
    let first = road.append(0, "bad", "demo.lamp.lit", r#"{"broken":"once"}"#).await;
    let fine = road.append(0, "bad", "demo.lamp.dimmed", "{}").await;
    let second = road.append(0, "bad", "demo.lamp.lit", POISON).await;
    let last = road.append(0, "bad", "demo.lamp.dimmed", "{}").await;
    let mut lamps = Lamps::new();
    lamps.strict = true;
    let running = road.start_eager(&lamps);
    road.visible(&running.models).await;
    assert_eq!(parked(&road).await, [(first, true), (fine, false), (second, false), (last, false)]);
    running.stop().await;
    let running = road.start_eager(&Lamps::new());
    testbed::eventually("the second one is parked", async || {
        (parked(&road).await == [(second, true), (last, false)]).then_some(())
    })
    .await;
    assert_eq!(road.rows().await, road.expected(&[second, last]).await);
    assert_eq!(state(&running.models).await, (ProjectionState::Parked, 2, 1));
    running.stop().await;
}

#[tokio::test]
async fn fault_connections_cut_while_letters_are_tried_lose_and_double_nothing() {
    let road = Road::new(Lamps::new()).await;
    for lamp in 0..20 {
        let lamp = format!("bad {lamp}");
        road.append(0, &lamp, "demo.lamp.lit", POISON).await;
        road.append(0, &lamp, "demo.lamp.dimmed", "{}").await;
    }
    let running = road.start_eager(&Lamps::new());
    road.visible(&running.models).await;
    for _ in 0..5 {
        road.append_many(10).await;
        road.cut().await;
    }
    road.visible(&running.models).await;
    recovers(&running.models, (ProjectionState::Parked, 40, 20)).await;
    running.stop().await;
    let running = road.start_eager(&mended());
    for _ in 0..5 {
        road.cut().await;
        road.append_many(10).await;
    }
    drained(&road).await;
    road.applied_once(&running.models).await;
    recovers(&running.models, (ProjectionState::Live, 0, 0)).await;
    running.stop().await;
}

#[tokio::test]
async fn what_an_older_program_parked_is_taken_over() {
    let road = Road::new(Lamps::new()).await;
    let broken = road.append(0, "bad", "demo.lamp.lit", POISON).await;
    let after = road.append(0, "bad", "demo.lamp.dimmed", "{}").await;
    let running = road.start_eager(&Lamps::new());
    road.visible(&running.models).await;
    running.stop().await;
    // As older programs stored it, before there were dead letters.
    let mut superuser = road.superuser().await;
    sqlx::raw_sql(
        "INSERT INTO projector.parked_aggregates
             SELECT tenant_id, 'lamps', aggregate_type, aggregate_id, position, errors[1] FROM dead.letters WHERE state = 'parked';
         INSERT INTO projector.parked_events (tenant_id, projection, position, aggregate_type, aggregate_id, event_type, reason)
             SELECT tenant_id, 'lamps', position, aggregate_type, aggregate_id, event_type, errors[1] FROM dead.letters;
         DELETE FROM dead.letters",
    )
    .execute(&mut superuser)
    .await
    .unwrap();
    let running = road.start_eager(&Lamps::new());
    testbed::eventually("it is parked again", async || {
        (parked(&road).await == [(broken, true), (after, false)]).then_some(())
    })
    .await;
    running.stop().await;
    let running = road.start_eager(&mended());
    drained(&road).await;
    assert_eq!(road.rows().await, road.expected(&[]).await);
    running.stop().await;
}
