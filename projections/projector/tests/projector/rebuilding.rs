//! A rebuild produces the same rows as the live projection, beside it, and replaces it in one step.

use std::sync::Arc;

use kernel::Position;
use projector::{Error, Projection, ProjectionState, Rebuilding, Settings};
use sqlx::Executor;

use crate::lamps::Lamps;
use crate::road::Road;

#[tokio::test]
async fn a_rebuild_equals_the_live_tables_row_by_row() {
    let road = Road::new(Lamps::new()).await;
    let running = road.start();
    road.feed(400).await;
    road.visible(&running.models).await;
    let live = road.rows().await;
    running.stop().await;

    let mut seen = Vec::new();
    let database = &road.database;
    let rebuilt = projector::rebuild(&database.admin(), database, &road.store, &Lamps::new(), |step| seen.push(step))
        .await
        .unwrap();
    let head = road.store.head().await.unwrap();
    assert_eq!((rebuilt.position, rebuilt.events, rebuilt.parked_events), (head, head.0, 0));
    assert_eq!(seen.last(), Some(&Rebuilding { position: head, head }));
    assert_eq!(road.rows().await, live);
    assert_eq!(live, road.expected(&[]).await);

    // Indexes, policies and grants are the same; the shadow schema is dropped.
    let indexes = "SELECT count(*) FROM pg_indexes WHERE schemaname = 'demo'";
    let mut superuser = road.superuser().await;
    let count: i64 = sqlx::query_scalar(indexes).fetch_one(&mut superuser).await.unwrap();
    assert_eq!(count, 4);
    let unprotected = "SELECT count(*) FROM pg_class WHERE relnamespace = 'demo'::regnamespace AND relkind = 'r'
         AND NOT (relrowsecurity AND relforcerowsecurity)";
    assert_eq!(sqlx::query_scalar::<_, i64>(unprotected).fetch_one(&mut superuser).await.unwrap(), 0);
    let sites = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE '%rebuild%'";
    assert_eq!(sqlx::query_scalar::<_, i64>(sites).fetch_one(&mut superuser).await.unwrap(), 0);
    let mut query = road.distant_models().begin(road.tenants[0]).await.unwrap();
    sqlx::query("SELECT * FROM lamps").fetch_all(&mut *query).await.unwrap();
}

#[tokio::test]
async fn a_rebuild_takes_all_events_though_large_ones_come_fewer_at_a_time() {
    let road = Road::new(Lamps::new()).await;
    let large = format!(r#"{{"photo":"{}"}}"#, "x".repeat(200 << 10));
    for nth in 0..60 {
        road.append(nth % 3, &format!("lamp {nth}"), "demo.lamp.lit", &large).await;
    }
    road.append_many(100).await;
    let running = road.start();
    road.visible(&running.models).await;
    let live = road.rows().await;
    assert_eq!(live, road.expected(&[]).await);
    running.stop().await;

    let (database, mut seen) = (&road.database, Vec::new());
    projector::rebuild(&database.admin(), database, &road.store, &Lamps::new(), |step| seen.push(step.position))
        .await
        .unwrap();
    assert!(seen.iter().any(|position| position.0 < 60), "12 MB are more than one batch: {seen:?}");
    assert_eq!(seen.last(), Some(&road.store.head().await.unwrap()));
    assert_eq!(road.rows().await, live);
}

#[tokio::test]
async fn events_go_on_while_a_projection_is_rebuilt() {
    let road = Road::new(Lamps::new()).await;
    let running = road.start();
    road.feed(500).await;
    let writing = async {
        for _ in 0..20 {
            road.feed(20).await;
            // The live tables exist and are updated before and after the swap.
            let mut query = running.models.begin(road.tenants[0]).await.unwrap();
            sqlx::query("SELECT * FROM lamps").fetch_all(&mut *query).await.unwrap();
        }
    };
    let database = &road.database;
    let rebuilding = async {
        for _ in 0..3 {
            projector::rebuild(&database.admin(), database, &road.store, &Lamps::new(), |_| {}).await.unwrap();
        }
    };
    tokio::join!(writing, rebuilding);
    road.visible(&running.models).await;
    road.applied_once(&road.distant_models()).await;
    running.stop().await;
}

#[tokio::test]
async fn a_reader_that_began_before_the_swap_sees_whole_tables() {
    let road = Road::new(Lamps::new()).await;
    road.append_many(100).await;
    let running = road.start();
    road.visible(&running.models).await;
    let expected = road.expected(&[]).await;
    let tenant = road.tenants[0];
    let own = expected.switches.keys().filter(|(of, _)| *of == tenant.uuid()).count();

    // Its snapshot is older than any row of the new tables, and it has not touched the old ones.
    let mut reader = running.models.begin(tenant).await.unwrap();
    sqlx::query("SELECT 1").execute(&mut *reader).await.unwrap();
    let database = &road.database;
    let rebuilding = async {
        projector::rebuild(&database.admin(), database, &road.store, &Lamps::new(), |_| {}).await.unwrap();
    };
    let reading = async {
        testbed::eventually("the rebuild waits for readers", async || {
            // In this database: in other tests', which are copies of the same one, tables have the same numbers.
            let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'projector.swaps'::regclass
                         AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
            let count: i64 = sqlx::query_scalar(waits).fetch_one(&mut road.superuser().await).await.unwrap();
            (count > 0).then_some(())
        })
        .await;
        let seen: i64 = sqlx::query_scalar("SELECT count(*) FROM switches").fetch_one(&mut *reader).await.unwrap();
        reader.rollback().await.unwrap();
        usize::try_from(seen).unwrap()
    };
    let ((), seen) = tokio::join!(rebuilding, reading);
    assert_eq!(seen, own);
    assert_eq!(road.rows().await, expected);
    running.stop().await;
}

#[tokio::test]
async fn a_new_version_stands_still_until_it_is_rebuilt() {
    let road = Road::new(Lamps::new()).await;
    road.append_many(50).await;
    let mut newer = Lamps::new();
    newer.version = 2;
    let projections: Vec<Arc<dyn Projection>> = vec![Arc::new(newer.clone())];
    let planned = projector::plan(&road.database.admin(), &road.database, &projections).await.unwrap();
    let migrated = projector::migrate(&road.database.admin(), &road.database, &projections).await.unwrap();
    assert_eq!(planned, migrated);
    assert_eq!((migrated.created, migrated.needs_rebuild), (vec![], vec!["lamps"]));

    let settings = Settings { stand_by: std::time::Duration::from_millis(50), ..Settings::default() };
    let running = road.start_with(projections, settings);
    let status = running.models.status().await.unwrap();
    assert_eq!(
        (status[0].state, status[0].version, status[0].position),
        (ProjectionState::NeedsRebuild, 1, Position::START)
    );
    assert_eq!(status[0].lag, road.store.head().await.unwrap().0);

    let database = &road.database;
    projector::rebuild(&database.admin(), database, &road.store, &newer, |_| {}).await.unwrap();
    road.append_many(50).await;
    road.applied_once(&running.models).await;
    let status = running.models.status().await.unwrap();
    assert_eq!((status[0].state, status[0].version, status[0].lag), (ProjectionState::Live, 2, 0));
    running.stop().await;
}

#[tokio::test]
async fn tables_that_are_never_given_free_keep_what_they_have() {
    let road = Road::new(Lamps::new()).await;
    road.append_many(50).await;
    let running = road.start();
    road.visible(&running.models).await;
    running.stop().await;
    let before = road.rows().await;

    // A reader that never ends its transaction.
    let mut reader = road.superuser().await;
    reader.execute("BEGIN; SELECT * FROM demo.switches LIMIT 1").await.unwrap();
    let database = &road.database;
    let refused =
        projector::rebuild(&database.admin(), database, &road.store, &Lamps::new(), |_| {}).await.unwrap_err();
    assert!(matches!(refused, Error::Busy { .. }), "{refused:?}");
    reader.execute("ROLLBACK").await.unwrap();
    assert_eq!(road.rows().await, before);
    let generation: i64 =
        sqlx::query_scalar("SELECT generation FROM projector.checkpoints").fetch_one(&mut reader).await.unwrap();
    assert_eq!(generation, 0);
}

#[tokio::test]
async fn a_projection_without_tables_is_not_rebuilt_but_migrated() {
    let database = testbed::Database::fresh("demo").await;
    let store = eventstore::EventStore::open(&database, eventstore::Settings::default(), Arc::new(kernel::SystemClock));
    let store = store.await.unwrap();
    // Before the database exists, before its first migration, and afterwards: `plan` reports it and creates nothing.
    let projections: Vec<Arc<dyn Projection>> = vec![Arc::new(Lamps::new())];
    let mut nowhere = eventstore::Database::clone(&database);
    nowhere.name = "inopsio_nowhere".to_owned();
    for target in [&nowhere, &*database] {
        let planned = projector::plan(&database.admin(), target, &projections).await.unwrap();
        assert_eq!((planned.created, planned.needs_rebuild), (vec!["lamps"], vec![]));
    }
    projector::migrate(&database.admin(), &database, &[]).await.unwrap();
    let planned = projector::plan(&database.admin(), &database, &projections).await.unwrap();
    assert_eq!(planned.created, ["lamps"]);
    let refused = projector::rebuild(&database.admin(), &database, &store, &Lamps::new(), |_| {}).await.unwrap_err();
    assert!(matches!(refused, Error::NotMigrated { .. }), "{refused:?}");

    // Migrating twice, also concurrently, creates the tables once.
    let admin = database.admin();
    let migrate = || projector::migrate(&admin, &database, &projections);
    let (one, other) = tokio::join!(migrate(), migrate());
    assert_eq!(one.unwrap().created.len() + other.unwrap().created.len(), 1);
}
