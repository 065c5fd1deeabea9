//! Appends: expected versions, several streams, batches, and input that can't be stored.

use eventstore::append::Error;
use eventstore::{NewEvent, Settings, StreamAppend};
use futures::future::join_all;
use kernel::Position;
use sqlx::Connection;

use super::support::*;

#[tokio::test]
async fn what_is_appended_is_loaded_byte_by_byte() {
    let (database, store) = store().await;
    let tenant = testbed::tenant();
    let payload = r#"{"event":"crm.lead.captured",  "name":"Žofie \u0000 ☃","n":1.50}"#;
    let new = event(payload);
    let stream =
        StreamAppend { aggregate_type: "crm.lead", aggregate_id: "l1".into(), expected: 0, events: vec![new.clone()] };
    let appended = store.append(append(tenant, vec![stream])).await.unwrap();
    assert_eq!((appended.first, appended.last, appended.answer), (Position(1), Position(1), None));

    let loaded = store.load(tenant, "crm.lead", "l1", 0).await.unwrap();
    let [one] = loaded.as_slice() else { panic!("{loaded:?}") };
    assert_eq!(one.payload, payload.as_bytes());
    assert_eq!(one.metadata, new.metadata.as_bytes());
    assert_eq!(
        (one.tenant, one.position, one.event_id, one.sequence, one.event_version),
        (tenant, Position(1), new.event_id, 1, 1)
    );
    assert_eq!((one.occurred_at, one.recorded_at), (new.occurred_at, appended.recorded_at));
    assert_eq!(whole_log(&database, &store).await, loaded);
}

#[tokio::test]
async fn a_stream_that_is_elsewhere_is_a_conflict_and_nothing_is_written() {
    let (database, store) = store().await;
    let tenant = testbed::tenant();
    store.append(append(tenant, vec![stream("l1", 0, 2)])).await.unwrap();
    let before = contents(&database).await;
    for expected in [0, 1, 3] {
        let refused =
            store.append(append(tenant, vec![stream("l2", 0, 1), stream("l1", expected, 1)])).await.unwrap_err();
        assert!(
            matches!(&refused, Error::VersionConflict { aggregate_id, expected: e, actual: 2, .. }
                if aggregate_id == "l1" && *e == expected),
            "{refused}"
        );
    }
    // Another tenant's stream of the same name is another stream.
    let refused = store.append(append(testbed::tenant(), vec![stream("l1", 2, 1)])).await.unwrap_err();
    assert!(matches!(refused, Error::VersionConflict { actual: 0, .. }), "{refused}");
    assert_eq!(contents(&database).await, before);
    store.append(append(tenant, vec![stream("l1", 2, 1)])).await.unwrap();
}

#[tokio::test]
async fn several_streams_grow_together() {
    let (database, store) = store().await;
    let tenant = testbed::tenant();
    let appended =
        store.append(append(tenant, vec![stream("a", 0, 2), stream("b", 0, 1), stream("c", 0, 3)])).await.unwrap();
    assert_eq!((appended.first, appended.last), (Position(1), Position(6)));
    let order: Vec<_> =
        whole_log(&database, &store).await.iter().map(|e| (e.aggregate_id.clone(), e.sequence)).collect();
    let expected = [("a", 1), ("a", 2), ("b", 1), ("c", 1), ("c", 2), ("c", 3)];
    assert_eq!(order, expected.map(|(id, n)| (id.to_owned(), n)));
}

#[tokio::test]
async fn what_was_read_in_an_epoch_that_has_ended_is_relied_on_only_by_what_was_written_before() {
    let (database, store) = store().await;
    let (tenant, read_in) = (testbed::tenant(), Some(store.epoch()));
    let done = append(tenant, vec![stream("l1", 0, 2)]);
    let first = store.append_with(done.clone(), Vec::new(), read_in).await.unwrap();
    store.end_epoch();
    let outdated = append(tenant, vec![stream("l2", 0, 1)]);
    // All are queued before any is sent, so they are in one batch.
    let (before, again, refused, after) = tokio::join!(
        store.append(append(tenant, vec![stream("l3", 0, 2)])),
        store.append_with(done, Vec::new(), read_in),
        store.append_with(outdated.clone(), Vec::new(), read_in),
        store.append_with(append(tenant, vec![stream("l4", 0, 2)]), Vec::new(), Some(store.epoch())),
    );
    let again = again.unwrap();
    assert_eq!((again.last, again.answer.is_some()), (first.last, true), "its first answer had been lost, perhaps");
    assert!(matches!(refused, Err(Error::Outdated)), "{refused:?}");
    assert_eq!([before, after].map(|appended| appended.unwrap().last), [Position(4), Position(6)]);
    assert_eq!(contents(&database).await, [6, 3, 0]);
    store.append_with(outdated, Vec::new(), Some(store.epoch())).await.unwrap();
    assert_eq!(whole_log(&database, &store).await.len(), 7);
}

#[tokio::test]
async fn an_append_without_events_answers_where_the_log_ends() {
    let (database, store) = store().await;
    let tenant = testbed::tenant();
    store.append(append(tenant, vec![stream("a", 0, 3)])).await.unwrap();
    let appended = store.append(append(tenant, vec![stream("a", 3, 0)])).await.unwrap();
    assert_eq!((appended.first, appended.last), (Position(3), Position(3)));
    let refused = store.append(append(tenant, vec![stream("a", 2, 0)])).await.unwrap_err();
    assert!(matches!(refused, Error::VersionConflict { .. }), "{refused}");
    assert_eq!(contents(&database).await, [3, 2, 0]);
}

#[tokio::test]
async fn concurrent_appends_to_one_stream_happen_once_each_or_conflict() {
    let (database, store) = store().await;
    let tenant = testbed::tenant();
    let results = join_all((0..50).map(|_| store.append(append(tenant, vec![stream("same", 0, 1)])))).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    assert!(
        results.iter().filter_map(|r| r.as_ref().err()).all(|e| matches!(e, Error::VersionConflict { actual: 1, .. }))
    );
    assert_eq!(contents(&database).await, [1, 1, 0]);
}

#[tokio::test]
async fn concurrent_appends_of_many_tenants_and_processes_get_dense_positions() {
    let (database, store) = store().await;
    // A second store is what a second process would be: its own committer and connection.
    let second = open(&database, Settings::default()).await;
    let tenants: Vec<_> = (0..10).map(|_| testbed::tenant()).collect();
    let appends = (0..400).map(|n| {
        let store = if n % 2 == 0 { &store } else { &second };
        store.append(append(tenants[n % 10], vec![stream(&format!("lead {n}"), 0, 1 + n % 3)]))
    });
    let mut spans: Vec<_> =
        join_all(appends).await.into_iter().map(|r| r.map(|a| (a.first, a.last)).unwrap()).collect();
    spans.sort_unstable();
    let mut next = Position(1);
    for (first, last) in spans {
        assert_eq!(first, next, "an append's positions follow on the one before");
        next = last.next();
    }
    assert_eq!(Position(whole_log(&database, &store).await.len() as u64).next(), next);
}

#[tokio::test]
async fn what_can_not_be_stored_is_refused_and_nothing_is_written() {
    let (database, store) = store().await;
    let tenant = testbed::tenant();
    let with = |change: &dyn Fn(&mut NewEvent)| {
        let mut stream = stream("l1", 0, 1);
        change(&mut stream.events[0]);
        append(tenant, vec![stream])
    };
    let mut bad = vec![
        with(&|event| event.payload = "{\"a\":\"\0\"}".into()),
        with(&|event| event.payload = "{".into()),
        with(&|event| event.payload = "{} {}".into()),
        with(&|event| event.metadata = "no json".into()),
        with(&|event| event.event_version = 0),
        with(&|event| event.occurred_at = chrono::DateTime::<chrono::Utc>::MAX_UTC),
        append(tenant, vec![stream("", 0, 1)]),
        append(tenant, vec![stream(&"x".repeat(256), 0, 1)]),
        append(tenant, vec![stream("a\0b", 0, 1)]),
        append(tenant, vec![stream("l1", 0, 1), stream("l1", 1, 1)]),
        append(tenant, vec![stream("l1", u64::MAX, 1)]),
        append(tenant, vec![stream("l1", 0, 10_001)]),
    ];
    for id in ["", "a\0b", &"x".repeat(288)] {
        let mut append = append(tenant, vec![stream("l1", 0, 1)]);
        append.command.id = id.to_owned();
        bad.push(append);
    }
    for append in bad {
        let what = format!("{:.300}", format!("{append:?}"));
        let refused = store.append(append).await.unwrap_err();
        assert!(matches!(refused, Error::Invalid(_)), "{refused}: {what}");
    }
    let refused = store.append(with(&|e| e.payload = format!("\"{}\"", "x".repeat(256 << 10)))).await.unwrap_err();
    assert!(matches!(refused, Error::EventTooLarge { allowed: 262_144, .. }), "{refused}");
    assert_eq!(contents(&database).await, [0, 0, 0]);
}

#[tokio::test]
async fn one_append_that_the_database_refuses_does_not_fail_its_neighbours() {
    let (database, store) = store().await;
    let tenant = testbed::tenant();
    // Nested more deeply than Postgres parses, which our own validation does not check.
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let appends = (0..40).map(|n| {
        let mut stream = stream(&format!("lead {n}"), 0, 1);
        if n % 20 == 7 {
            stream.events[0].payload.clone_from(&deep);
        }
        store.append(append(tenant, vec![stream]))
    });
    for (n, result) in join_all(appends).await.into_iter().enumerate() {
        match result {
            Ok(_) => assert_ne!(n % 20, 7),
            Err(Error::Storage(_)) => assert_eq!(n % 20, 7),
            Err(other) => panic!("{n}: {other}"),
        }
    }
    assert_eq!(whole_log(&database, &store).await.len(), 38);
    assert_eq!(contents(&database).await, [38, 38, 0]);
}

#[tokio::test]
async fn recorded_at_does_not_go_back_when_the_clock_does() {
    use std::sync::Arc;
    let database = testbed::Database::fresh("crm").await;
    let at = |text| Arc::new(kernel::ManualClock::at(time(text)));
    let ahead = eventstore::EventStore::open(&database, Settings::default(), at("2026-05-01T00:00:00Z")).await.unwrap();
    let behind =
        eventstore::EventStore::open(&database, Settings::default(), at("2026-04-01T00:00:00Z")).await.unwrap();
    let tenant = testbed::tenant();
    for n in 0..4 {
        let store = if n % 2 == 0 { &ahead } else { &behind };
        let appended = store.append(append(tenant, vec![stream("l1", n, 1)])).await.unwrap();
        assert_eq!(appended.recorded_at, time("2026-05-01T00:00:00Z"));
    }
    whole_log(&database, &ahead).await;
}

#[tokio::test]
async fn a_full_queue_refuses_at_once_and_a_closed_store_refuses() {
    let database = testbed::Database::fresh("crm").await;
    let store = open(&database, Settings { queue: 1, batch_appends: 1, ..Settings::default() }).await;
    let tenant = testbed::tenant();
    let results =
        join_all((0..100).map(|n| store.append(append(tenant, vec![stream(&format!("lead {n}"), 0, 1)])))).await;
    let done = results.iter().filter(|result| result.is_ok()).count();
    assert!(results.iter().all(|result| matches!(result, Ok(_) | Err(Error::Busy(_)))));
    assert!((1..100).contains(&done), "{done}");
    assert_eq!(whole_log(&database, &store).await.len(), done, "what was refused is not written");
    store.close().await;
    let refused = store.append(append(tenant, vec![stream("late", 0, 1)])).await.unwrap_err();
    assert!(matches!(refused, Error::Unavailable(_)), "{refused}");
    assert_eq!(count(&database, "log.events").await, done as i64);
}

#[tokio::test]
async fn what_waits_is_bounded_by_its_bytes_and_room_comes_back_with_the_answers() {
    let database = testbed::Database::fresh("crm").await;
    let store = open(&database, Settings { queue_bytes: 10_000, ..Settings::default() }).await;
    let tenant = testbed::tenant();
    let of = |name: &str, bytes: usize| {
        let mut stream = stream(name, 0, 1);
        stream.events[0].payload = format!("\"{}\"", "x".repeat(bytes));
        append(tenant, vec![stream])
    };
    // Polled in order before any is answered: three of 3,000 bytes fit, and a small one besides.
    let appends = [("a", 3_000), ("b", 3_000), ("c", 3_000), ("d", 3_000), ("e", 20_000), ("f", 200)];
    let results = join_all(appends.map(|(name, bytes)| store.append(of(name, bytes)))).await;
    let done: Vec<bool> = results.iter().map(Result::is_ok).collect();
    assert_eq!(done, [true, true, true, false, false, true], "{results:?}");
    assert!(results.iter().all(|result| matches!(result, Ok(_) | Err(Error::Busy(_)))), "{results:?}");
    assert_eq!(contents(&database).await, [4, 4, 0], "what was refused is not written");
    // Nothing is waiting any more, so an append that is larger than the whole limit is accepted.
    store.append(of("e", 20_000)).await.unwrap();
    store.append(of("d", 3_000)).await.unwrap();
    assert_eq!(whole_log(&database, &store).await.len(), 6);
}

#[tokio::test]
async fn closing_finishes_what_waits() {
    let (database, store) = store().await;
    let tenant = testbed::tenant();
    let waiting: Vec<_> = (0..500)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move { store.append(append(tenant, vec![stream(&format!("lead {n}"), 0, 1)])).await })
        })
        .collect();
    tokio::task::yield_now().await;
    store.close().await;
    let mut done = 0;
    for task in waiting {
        match task.await.unwrap() {
            Ok(_) => done += 1,
            Err(Error::Unavailable(_)) => {}
            Err(other) => panic!("{other}"),
        }
    }
    assert!(done > 0);
    assert_eq!(count(&database, "log.events").await, done);
}

#[tokio::test]
async fn an_append_finds_the_head_without_passing_its_former_versions() {
    let (database, store) = store().await;
    let tenant = testbed::tenant();
    let first = store.append(append(tenant, vec![stream("l1", 0, 1)])).await.unwrap();
    let mut connection = superuser(&database).await;
    let mut transaction = connection.begin().await.unwrap();
    // As on the connection of appends.
    sqlx::query("SET LOCAL enable_seqscan = off").execute(&mut *transaction).await.unwrap();
    sqlx::query(
        "SELECT * FROM log.append(ARRAY[$1::uuid], $2, ARRAY[$1::uuid], '{c}', '{x}', '{\"null\"}', '{0}', '{}', '{}', '{}',
             '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}')",
    )
    .bind(tenant.uuid())
    .bind(first.recorded_at)
    .fetch_all(&mut *transaction)
    .await
    .unwrap();
    // While a backup is read, the table has all versions since the backup began.
    let scans: (i64, i64, i64) = sqlx::query_as(
        "SELECT seq_scan, idx_scan, n_tup_upd FROM pg_stat_xact_user_tables WHERE relid = 'log.head'::regclass",
    )
    .fetch_one(&mut *transaction)
    .await
    .unwrap();
    assert_eq!(scans, (0, 1, 1));
    transaction.commit().await.unwrap();
    assert_eq!(store.head().await.unwrap(), first.last);
    let next = store.append(append(tenant, vec![stream("l1", 1, 1)])).await.unwrap();
    assert_eq!(next.first, first.last.next());
}
