//! What is ahead of a tenant's append does not grow with what another tenant asks for. Counted in events, since time would tell
//! only about the machine.

use eventstore::{EventStore, Settings};
use futures::FutureExt;
use futures::future::join_all;
use kernel::Position;
use sqlx::{Connection, PgConnection};
use testbed::Database;

use super::support::*;

/// Holds back whatever is appended, until it is closed; a first append is under way already.
async fn held_back(database: &Database, store: &EventStore, first: eventstore::Append) -> PgConnection {
    let mut holder = superuser(database).await;
    sqlx::query("SELECT pg_advisory_lock(7164702801)").execute(&mut holder).await.unwrap();
    let store = store.clone();
    tokio::spawn(async move { store.append(first).await.unwrap() });
    testbed::eventually("the first batch waits in the database", async || {
        // In this database: other tests wait for locks in theirs.
        let waits = "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
                     AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))";
        let waits: bool = sqlx::query_scalar(waits).fetch_one(&mut superuser(database).await).await.unwrap();
        waits.then_some(())
    })
    .await;
    holder
}

#[tokio::test]
async fn an_append_waits_for_two_batches_at_most_however_many_another_tenant_has_waiting() {
    let (database, store) = store().await;
    let (busy, other) = (testbed::tenant(), testbed::tenant());
    let holder = held_back(&database, &store, append(busy, vec![stream("first", 0, 1)])).await;
    let mut crowd =
        join_all((0..1_500).map(|n| store.append(append(busy, vec![stream(&format!("lead {n}"), 0, 1)])))).boxed();
    // Each is in the queue once it was asked.
    assert!(futures::poll!(&mut crowd).is_pending());
    let mut one = store.append(append(other, vec![stream("theirs", 0, 1)])).boxed();
    assert!(futures::poll!(&mut one).is_pending());
    holder.close().await.unwrap();
    let (one, crowd) = tokio::join!(one, crowd);
    let ahead = one.unwrap().first.0;
    let most = 2 * Settings::default().batch_appends as u64 + 2;
    assert!(ahead <= most, "{ahead} events were ahead");
    assert!(crowd.iter().all(Result::is_ok));
    assert_eq!(whole_log(&database, &store).await.len(), 1_502);
}

#[tokio::test]
async fn a_small_append_goes_before_the_bulk_that_waits() {
    let (database, store) = store().await;
    let (busy, other) = (testbed::tenant(), testbed::tenant());
    let holder = held_back(&database, &store, append(busy, vec![stream("first", 0, 400)])).await;
    let mut bulk =
        join_all((0..20).map(|n| store.append(append(busy, vec![stream(&format!("lead {n}"), 0, 400)])))).boxed();
    assert!(futures::poll!(&mut bulk).is_pending());
    let mut one = store.append(append(other, vec![stream("theirs", 0, 1)])).boxed();
    assert!(futures::poll!(&mut one).is_pending());
    holder.close().await.unwrap();
    let (one, bulk) = tokio::join!(one, bulk);
    // Only what was under way.
    assert_eq!(one.unwrap().first, Position(401));
    assert!(bulk.iter().all(Result::is_ok));
    assert_eq!(whole_log(&database, &store).await.len(), 21 * 400 + 1);
}
