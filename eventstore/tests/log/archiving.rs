//! Archived streams: they are read and written as before, and stay isolated by tenant.

use std::collections::HashMap;

use chrono::TimeDelta;
use eventstore::append::Error;
use eventstore::archive::{Archiver, ColdStreams, ColdTotal, Sizes};
use eventstore::backup::freeze;
use eventstore::{Database as Coordinates, EventStore, ReplayFilter, Role};
use futures::TryStreamExt;
use kernel::{Clock, Position, RecordedEvent, SystemClock, TenantId};
use sqlx::{ConnectOptions, Executor, PgConnection};
use testbed::Database;

use super::support::*;

/// All current streams.
async fn all(archiver: &Archiver) -> ColdStreams {
    archiver.cold(SystemClock.now() + TimeDelta::days(1)).await.unwrap()
}

/// Archives all current streams; returns the number of events.
async fn archive_all(database: &Database) -> u64 {
    let mut archiver = Archiver::begin(&database.admin(), database, false).await.unwrap();
    let mut cold = all(&archiver).await;
    let mut moved = 0;
    loop {
        let streams = cold.next(3).await.unwrap();
        if streams.is_empty() {
            break;
        }
        moved += archiver.run(&streams).await.unwrap();
    }
    assert_eq!(moved, cold.total.events);
    assert!(matches!(archiver.finish(false).await.unwrap(), Sizes { hot: 1.., archived: 1.. }));
    moved
}

/// The numbers of hot and of archived events.
async fn places(database: &Database) -> [i64; 2] {
    [count(database, "ONLY log.events").await, count(database, "log.archived").await]
}

/// The results of all ways of reading the log.
async fn read_in_every_way(database: &Coordinates, store: &EventStore, tenant: TenantId) -> Vec<Vec<RecordedEvent>> {
    let mut snapshot = freeze(std::slice::from_ref(database)).await.unwrap().remove(0);
    let saved: Vec<_> = snapshot.events().try_collect().await.unwrap();
    let filter = ReplayFilter { aggregate_id: Some("a".to_owned()), ..ReplayFilter::default() };
    vec![
        store.load(tenant, "crm.lead", "a", 0).await.unwrap(),
        store.load(tenant, "crm.lead", "a", 2).await.unwrap(),
        store.resume(tenant, "crm.lead", "a", "1").await.unwrap().events,
        store.replay(tenant, ReplayFilter::default()).try_collect().await.unwrap(),
        store.replay(tenant, filter).try_collect().await.unwrap(),
        store.read_after(Position(0), 1_000).await.unwrap(),
        store.read_after(Position(2), 2).await.unwrap(),
        store.read_partition(Position(0), 100, 0, 2).await.unwrap().events,
        store.events_at(&[Position(1), Position(4)]).await.unwrap(),
        store.tenant_after(tenant, Position(1), Position(5), 10).await.unwrap().events,
        saved.into_iter().map(|stored| stored.event).collect(),
    ]
}

#[tokio::test]
async fn what_is_archived_is_read_in_every_way_as_before_and_stays_whole() {
    let (database, store) = store().await;
    let (ours, theirs) = (testbed::tenant(), testbed::tenant());
    for (tenant, id, events) in [(ours, "a", 3), (theirs, "a", 2), (ours, "b", 1)] {
        store.append(append(tenant, vec![stream(id, 0, events)])).await.unwrap();
    }
    let before = read_in_every_way(&database, &store, ours).await;
    assert_eq!(before[0].len(), 3);
    assert_eq!(archive_all(&database).await, 6);
    assert_eq!(places(&database).await, [0, 6]);
    assert_eq!(read_in_every_way(&database, &store, ours).await, before);
    whole_log(&database, &store).await;
    // A second run has nothing to do.
    assert_eq!(archive_all(&database).await, 0);
}

#[tokio::test]
async fn an_archived_stream_grows_on_from_its_version_and_is_archived_again() {
    let (database, store) = store().await;
    let tenant = testbed::tenant();
    store.append(append(tenant, vec![stream("a", 0, 3)])).await.unwrap();
    archive_all(&database).await;

    let before = contents(&database).await;
    let refused = store.append(append(tenant, vec![stream("a", 0, 1)])).await.unwrap_err();
    assert!(matches!(refused, Error::VersionConflict { expected: 0, actual: 3, .. }), "{refused}");
    assert_eq!(contents(&database).await, before, "nothing was written");

    let appended = store.append(append(tenant, vec![stream("a", 3, 2), stream("b", 0, 1)])).await.unwrap();
    assert_eq!((appended.first, appended.last), (Position(4), Position(6)));
    assert_eq!(places(&database).await, [3, 3]);
    let sequences = |events: &[RecordedEvent]| events.iter().map(|event| event.sequence).collect::<Vec<_>>();
    assert_eq!(sequences(&store.load(tenant, "crm.lead", "a", 0).await.unwrap()), [1, 2, 3, 4, 5]);
    assert_eq!(sequences(&store.load(tenant, "crm.lead", "a", 3).await.unwrap()), [4, 5]);
    archive_all(&database).await;
    assert_eq!(places(&database).await, [0, 6]);
    whole_log(&database, &store).await;
}

#[tokio::test]
async fn what_is_moved_is_checked_and_what_was_moved_before_is_not_read_again() {
    let (database, store) = store().await;
    let tenant = testbed::tenant();
    store.append(append(tenant, vec![stream("a", 0, 3)])).await.unwrap();
    archive_all(&database).await;
    let mut superuser = superuser(&database).await;
    // If the whole stream were read at once, one that grows for years could not be archived any more. An audit finds this event.
    superuser.execute("UPDATE log.archived SET payload = '{}' WHERE sequence = 2").await.unwrap();
    store.append(append(tenant, vec![stream("a", 3, 2)])).await.unwrap();
    assert_eq!(archive_all(&database).await, 2);
    assert_eq!(places(&database).await, [0, 5]);

    store.append(append(tenant, vec![stream("a", 5, 2)])).await.unwrap();
    superuser.execute("UPDATE ONLY log.events SET payload = '{}' WHERE sequence = 7").await.unwrap();
    let mut archiver = Archiver::begin(&database.admin(), &database, false).await.unwrap();
    let cold = all(&archiver).await.next(u64::MAX).await.unwrap();
    let refused = archiver.run(&cold).await.unwrap_err();
    assert!(matches!(&refused, eventstore::Error::Corrupt(what) if what.contains("position 7")), "{refused}");
    assert_eq!(places(&database).await, [2, 5], "none was moved");
}

#[tokio::test]
async fn only_cold_streams_are_archived_and_a_dry_run_moves_and_makes_nothing() {
    let (database, store) = store().await;
    let tenant = testbed::tenant();
    store.append(append(tenant, vec![stream("a", 0, 3)])).await.unwrap();
    let mut archiver = Archiver::begin(&database.admin(), &database, true).await.unwrap();
    let mut list = all(&archiver).await;
    let cold = list.next(u64::MAX).await.unwrap();
    assert_eq!(cold.iter().map(|stream| stream.events).collect::<Vec<_>>(), [3]);
    assert_eq!(list.total, ColdTotal { streams: 1, events: 3, bytes: cold[0].bytes });
    assert!(cold[0].bytes > 300 && cold[0].tenant() == tenant);
    assert!(matches!(archiver.sizes().await.unwrap(), Sizes { hot: 1.., archived: 0 }));
    let made = "SELECT to_regclass('log.archived') IS NOT NULL";
    let made: bool = sqlx::query_scalar(made).fetch_one(&mut superuser(&database).await).await.unwrap();
    assert!(!made);
    // Only one archiver can run at a time.
    assert!(Archiver::begin(&database.admin(), &database, true).await.is_err());
    drop(archiver);

    let mut archiver = testbed::eventually("the lock is given back", async || {
        Archiver::begin(&database.admin(), &database, false).await.ok()
    })
    .await;
    let mut none = archiver.cold(SystemClock.now() - TimeDelta::days(1)).await.unwrap();
    assert_eq!((none.total, none.next(1).await.unwrap()), (ColdTotal::default(), Vec::new()));
    // Events that were appended after a stream was found cold stay hot.
    let cold = all(&archiver).await.next(u64::MAX).await.unwrap();
    store.append(append(tenant, vec![stream("a", 3, 1)])).await.unwrap();
    assert_eq!(archiver.run(&cold).await.unwrap(), 3);
    assert_eq!(places(&database).await, [1, 3]);
    assert_eq!(store.load(tenant, "crm.lead", "a", 0).await.unwrap().len(), 4);
}

#[tokio::test]
async fn however_many_streams_are_cold_they_are_taken_one_page_after_the_other_and_never_split() {
    let (database, store) = store().await;
    let tenant = testbed::tenant();
    for part in 0..6 {
        let streams = (0..200).map(|nth| stream(&format!("s{part}-{nth}"), 0, 2)).collect();
        store.append(append(tenant, streams)).await.unwrap();
    }
    let mut archiver = Archiver::begin(&database.admin(), &database, false).await.unwrap();
    let mut cold = all(&archiver).await;
    assert_eq!((cold.total.streams, cold.total.events), (1_200, 2_400));
    // More than a page; the list was made before, so what is moved meanwhile stays in it, and nothing comes twice.
    for (events, streams) in [(1_999, 1_000), (1, 1), (u64::MAX, 199), (1, 0)] {
        let taken = cold.next(events).await.unwrap();
        assert_eq!(taken.len(), streams);
        assert_eq!(archiver.run(&taken).await.unwrap(), 2 * streams as u64);
    }
    assert_eq!(places(&database).await, [0, 2_400]);
    cold.close().await.unwrap();
}

/// The SQLSTATE of an error; empty if there was none.
async fn refusal(connection: &mut PgConnection, statement: &str) -> String {
    let error = connection.execute(statement).await.err();
    let code = error.as_ref().and_then(sqlx::Error::as_database_error).and_then(sqlx::error::DatabaseError::code);
    code.map(std::borrow::Cow::into_owned).unwrap_or_default()
}

#[tokio::test]
async fn the_archive_is_nobodys_but_its_tenants_through_the_log() {
    let (database, store) = store().await;
    let (ours, theirs) = (testbed::tenant(), testbed::tenant());
    store.append(append(ours, vec![stream("a", 0, 3)])).await.unwrap();
    store.append(append(theirs, vec![stream("a", 0, 5)])).await.unwrap();
    archive_all(&database).await;
    for role in Role::ALL {
        let mut connection = database.options(role).connect().await.unwrap();
        for statement in ["SELECT FROM log.archived", "DELETE FROM log.archived", "INSERT INTO log.archived SELECT"] {
            assert_eq!(refusal(&mut connection, statement).await, "42501", "{role:?}: {statement}");
        }
    }
    let tenant = ours.to_string();
    let options = database.options(Role::Read).options([("app.tenant_id", tenant.as_str())]);
    let mut reader = options.connect().await.unwrap();
    let seen: Vec<uuid::Uuid> =
        sqlx::query_scalar("SELECT tenant_id FROM log.events").fetch_all(&mut reader).await.unwrap();
    assert_eq!(seen, [ours.uuid(); 3]);
    let mut unset = database.options(Role::Read).connect().await.unwrap();
    let none: i64 = sqlx::query_scalar("SELECT count(*) FROM log.events").fetch_one(&mut unset).await.unwrap();
    assert_eq!(none, 0);
}

#[tokio::test]
async fn an_altered_event_is_not_archived() {
    let (database, store) = store().await;
    let tenant = testbed::tenant();
    store.append(append(tenant, vec![stream("a", 0, 2), stream("b", 0, 1)])).await.unwrap();
    superuser(&database).await.execute("UPDATE log.events SET payload = '{}' WHERE position = 2").await.unwrap();
    let mut archiver = Archiver::begin(&database.admin(), &database, false).await.unwrap();
    let cold = all(&archiver).await.next(u64::MAX).await.unwrap();
    let refused = archiver.run(&cold).await.unwrap_err();
    assert!(refused.to_string().contains("position 2"), "{refused}");
    assert_eq!(places(&database).await, [3, 0]);
}

#[tokio::test]
async fn a_log_with_an_archive_is_read_by_position_along_its_indexes() {
    let (database, store) = store().await;
    let tenant = testbed::tenant();
    let streams = (0..200).map(|nth| stream(&format!("s{nth}"), 0, 5)).collect();
    store.append(append(tenant, streams)).await.unwrap();
    archive_all(&database).await;
    let streams = (0..200).map(|nth| stream(&format!("t{nth}"), 0, 5)).collect();
    store.append(append(tenant, streams)).await.unwrap();
    let options = database.options(Role::Follow).options([("enable_bitmapscan", "off"), ("enable_sort", "off")]);
    let mut follower = options.connect().await.unwrap();
    let plans = [
        "SELECT * FROM log.events WHERE position > 100 ORDER BY position LIMIT 50".to_owned(),
        format!("SELECT * FROM log.events WHERE tenant_id = '{tenant}' AND position > 100 ORDER BY position LIMIT 50"),
    ];
    for plan in plans {
        let lines: Vec<String> = sqlx::query_scalar(&format!("EXPLAIN {plan}")).fetch_all(&mut follower).await.unwrap();
        let text = lines.join("\n");
        let counted: HashMap<&str, usize> =
            ["Merge Append", "Index Scan", "Sort  (", "Seq Scan"].map(|node| (node, text.matches(node).count())).into();
        assert_eq!((counted["Merge Append"], counted["Index Scan"]), (1, 2), "{text}");
        assert_eq!((counted["Sort  ("], counted["Seq Scan"]), (0, 0), "{text}");
    }
}

#[tokio::test]
async fn what_was_last_said_of_a_tenant_is_found_in_the_archive_too() {
    let (database, store) = store().await;
    let (ours, theirs) = (testbed::tenant(), testbed::tenant());
    for tenant in [ours, theirs] {
        store.append(append(tenant, vec![stream(&tenant.to_string(), 0, 3)])).await.unwrap();
    }
    let said = async || {
        let head = store.head().await.unwrap();
        let said = store.last_of_tenants("crm.lead", &["crm.lead.captured"], head).await.unwrap();
        said.iter().map(|event| (event.tenant, event.sequence)).collect::<Vec<_>>()
    };
    assert_eq!(archive_all(&database).await, 6);
    assert_eq!(said().await, [(ours, 3), (theirs, 3)]);
    store.append(append(theirs, vec![stream(&theirs.to_string(), 3, 1)])).await.unwrap();
    assert_eq!(said().await, [(ours, 3), (theirs, 4)]);
}
