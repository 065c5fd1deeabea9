//! Checks the invariants of the log.

use std::collections::HashMap;

use futures::TryStreamExt;
use kernel::{Leaf, Position, RecordedEvent, TenantId};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

/// Reads the whole log with SQL, without our own programs. Checks that positions and each stream's sequences are dense, that times never go
/// back, that each leaf hash fits the stored bytes, and that the head is the last position.
pub async fn verified(superuser: &mut PgConnection) -> Vec<RecordedEvent> {
    // A consistent snapshot, because the log may be written to.
    sqlx::query("BEGIN ISOLATION LEVEL REPEATABLE READ").execute(&mut *superuser).await.unwrap();
    let head: i64 = sqlx::query_scalar("SELECT position FROM log.head").fetch_one(&mut *superuser).await.unwrap();
    // Tenants that were moved from another cell kept their earlier times.
    let moved: Vec<uuid::Uuid> =
        sqlx::query_scalar("SELECT tenant_id FROM log.copied WHERE moved").fetch_all(&mut *superuser).await.unwrap();
    let mut recorded = HashMap::new();
    let mut rows =
        sqlx::query("SELECT *, payload::text AS body, metadata::text AS data FROM log.events ORDER BY position")
            .fetch(&mut *superuser);
    let mut events: Vec<RecordedEvent> = Vec::new();
    let mut versions = HashMap::new();
    while let Some(row) = rows.try_next().await.unwrap() {
        let event = event(&row);
        assert_eq!(event.position.0, events.len() as u64 + 1, "positions are not dense");
        let stream = (event.tenant, event.aggregate_type.clone(), event.aggregate_id.clone());
        let version = versions.entry(stream).or_insert(0);
        *version += 1;
        assert_eq!(event.sequence, *version, "the stream's sequences are not dense: {event:?}");
        let own_time = moved.contains(&event.tenant.uuid()).then_some(event.tenant);
        let last = recorded.insert(own_time, event.recorded_at);
        assert!(last.is_none_or(|last| last <= event.recorded_at), "the log's time went back: {event:?}");
        assert_eq!(Leaf::from(&event).hash().as_slice(), row.get::<&[u8], _>("leaf_hash"), "altered: {event:?}");
        events.push(event);
    }
    drop(rows);
    sqlx::query("COMMIT").execute(superuser).await.unwrap();
    assert_eq!(head, events.len() as i64, "the head is not at the log's end");
    events
}

/// Converts a row of the query in [`verified`] to an event.
#[expect(clippy::disallowed_methods, reason = "a test reads whose events these are")]
pub fn event(row: &PgRow) -> RecordedEvent {
    RecordedEvent {
        tenant: TenantId::vouched(row.get("tenant_id")),
        position: Position::from_i64(row.get("position")),
        event_id: row.get("event_id"),
        aggregate_type: row.get("aggregate_type"),
        aggregate_id: row.get("aggregate_id"),
        sequence: row.get::<i64, _>("sequence").cast_unsigned(),
        event_type: row.get("event_type"),
        event_version: row.get::<&str, _>("event_version").parse().unwrap(),
        payload: row.get::<String, _>("body").into(),
        metadata: row.get::<String, _>("data").into(),
        occurred_at: row.get("occurred_at"),
        recorded_at: row.get("recorded_at"),
    }
}
