//! Comparison with the log: finds exactly the rows that differ, also while events are applied.

use kernel::{Position, TenantId};
use projector::{DifferenceKind, Drift, Error};
use serde_json::json;
use sqlx::{Executor, PgConnection};
use uuid::Uuid;

use crate::lamps::Lamps;
use crate::road::{Road, Rows};

async fn drift(road: &Road, limit: usize) -> Drift {
    projector::drift(&road.database.admin(), &road.database, &road.store, &Lamps::new(), limit, |_| {}).await.unwrap()
}

/// A projection that has applied some events of all tenants, and is stopped.
async fn applied() -> Road {
    let road = Road::new(Lamps::new()).await;
    let running = road.start();
    road.append_many(300).await;
    road.visible(&running.models).await;
    running.stop().await;
    road
}

/// The first switch of a tenant.
fn first_switch(rows: &Rows, tenant: Uuid) -> (i64, String) {
    let ((_, position), lamp) = rows.switches.iter().find(|((of, _), _)| *of == tenant).unwrap();
    (*position, lamp.clone())
}

async fn building_sites(superuser: &mut PgConnection) -> i64 {
    let sites = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'demo\\_%'";
    sqlx::query_scalar(sites).fetch_one(superuser).await.unwrap()
}

#[tokio::test]
async fn tables_that_are_what_the_log_says_do_not_drift() {
    let road = applied().await;
    let rows = road.rows().await;
    let found = drift(&road, 10).await;
    assert_eq!((found.position, found.tenants), (road.store.head().await.unwrap(), 3));
    assert_eq!(found.rows, (rows.lamps.len() + rows.switches.len()) as u64);
    assert_eq!((found.differing, found.differences.len(), found.parked_events), (0, 0, 0));
    assert!(found.unknown_tenants_checked, "the admin of the tests is a superuser");
    assert_eq!(road.rows().await, rows);
    assert_eq!(building_sites(&mut road.superuser().await).await, 0);
}

#[tokio::test]
async fn each_row_that_differs_is_named_with_its_key_and_columns() {
    let road = applied().await;
    let rows = road.rows().await;
    let [first, second, _] = road.tenants.map(TenantId::uuid);
    let ((_, lamp), (switches, _)) = rows.lamps.iter().find(|((of, _), _)| *of == first).unwrap();
    let (gone, _) = first_switch(&rows, second);
    let stranger = Uuid::from_u128(7);
    let mut superuser = road.superuser().await;
    superuser
        .execute(
            format!(
                "UPDATE demo.lamps SET switches = switches + 5 WHERE tenant_id = '{first}' AND lamp = '{lamp}';
                 DELETE FROM demo.switches WHERE tenant_id = '{second}' AND position = {gone};
                 INSERT INTO demo.lamps VALUES ('{stranger}', 'nobody''s', 1, true)"
            )
            .as_str(),
        )
        .await
        .unwrap();
    let altered = road.rows().await;

    let found = drift(&road, 10).await;
    assert_eq!(found.differing, 3);
    let named = found.differences.iter().map(|one| {
        let columns: Vec<_> = one.columns.iter().map(|c| json!([c.name, c.live, c.expected])).collect();
        json!({ "table": one.table, "kind": one.kind.as_str(), "key": one.key, "columns": columns })
    });
    let mut named: Vec<_> = named.collect();
    named.sort_by_key(|one| one["kind"].to_string());
    assert_eq!(
        named,
        [
            json!({
                "table": "lamps", "kind": "changed", "key": { "tenant_id": first, "lamp": lamp },
                "columns": [["switches", switches + 5, switches]],
            }),
            json!({
                "table": "switches", "kind": "missing", "key": { "tenant_id": second, "position": gone }, "columns": [],
            }),
            json!({
                "table": "lamps", "kind": "unexpected", "key": { "tenant_id": stranger, "lamp": "nobody's" },
                "columns": [],
            }),
        ]
    );
    // The comparison repairs nothing; a rebuild does.
    assert_eq!(road.rows().await, altered);
    projector::rebuild(&road.database.admin(), &road.database, &road.store, &Lamps::new(), |_| {}).await.unwrap();
    assert_eq!(drift(&road, 10).await.differing, 0);
    assert_eq!(road.rows().await, rows);
}

#[tokio::test]
async fn all_differences_are_counted_and_as_many_named_as_asked_for() {
    let road = applied().await;
    let mut superuser = road.superuser().await;
    let altered = superuser.execute("UPDATE demo.switches SET lamp = 'another'").await.unwrap().rows_affected();
    let found = drift(&road, 5).await;
    assert_eq!((found.differing, found.differences.len()), (altered, 5));
    assert!(found.differences.iter().all(|one| one.kind == DifferenceKind::Changed && one.columns[0].name == "lamp"));
}

#[tokio::test]
async fn events_that_are_applied_meanwhile_are_no_drift() {
    let road = Road::new(Lamps::new()).await;
    let running = road.start();
    road.append_many(200).await;
    road.visible(&running.models).await;
    let writing = async {
        for _ in 0..30 {
            road.feed(20).await;
        }
    };
    let comparing = async {
        let mut positions = Vec::new();
        for _ in 0..4 {
            let found = drift(&road, 10).await;
            assert_eq!(found.differences, []);
            positions.push(found.position);
        }
        positions
    };
    let ((), positions) = tokio::join!(writing, comparing);
    assert!(positions[0] > Position::START && positions.is_sorted(), "{positions:?}");
    road.applied_once(&running.models).await;
    running.stop().await;
}

#[tokio::test]
async fn rows_that_lack_only_what_is_parked_are_told_with_the_parked_events() {
    let road = Road::new(Lamps::new()).await;
    let running = road.start();
    road.append(0, "hall", "demo.lamp.lit", "{}").await;
    road.append(0, "hall", "demo.lamp.dimmed", r#"{"x":"poison"}"#).await;
    road.visible(&running.models).await;
    running.stop().await;
    // A program that can't apply the event parks it in the comparison, too, so nothing differs.
    let found = drift(&road, 10).await;
    assert_eq!((found.differing, found.parked_events), (0, 1));
    // A program that can apply it reports what the row lacks.
    let lenient = Lamps { lenient: true, ..Lamps::new() };
    let database = &road.database;
    let found = projector::drift(&database.admin(), database, &road.store, &lenient, 10, |_| {}).await.unwrap();
    assert_eq!((found.differing, found.parked_events), (2, 1));
}

#[tokio::test]
async fn tables_of_another_version_are_not_compared() {
    let road = applied().await;
    let newer = Lamps { version: 2, ..Lamps::new() };
    let database = &road.database;
    let refused = projector::drift(&database.admin(), database, &road.store, &newer, 10, |_| {}).await.unwrap_err();
    assert!(matches!(refused, Error::OtherVersion { stored: 1, program: 2, .. }), "{refused:?}");
}
