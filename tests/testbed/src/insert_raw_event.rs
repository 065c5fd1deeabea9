//! Inserts events without our programs, as a newer version or a defect might have written them.

use kernel::{IdSource, SystemIds};
use sqlx::{Connection, PgConnection};

/// Appends an event to an existing aggregate's stream. Returns its position. The log stays dense. `superuser` is a superuser's connection
/// to the service's database.
pub async fn insert_raw_event(superuser: &mut PgConnection, aggregate: &str, event_type: &str, payload: &str) -> i64 {
    let mut transaction = superuser.begin().await.unwrap();
    // The lock that `log.append` takes.
    sqlx::query("SELECT pg_advisory_xact_lock(7164702801)").execute(&mut *transaction).await.unwrap();
    let position = sqlx::query_scalar("UPDATE log.head SET position = position + 1 RETURNING position")
        .fetch_one(&mut *transaction)
        .await
        .unwrap();
    let appended = sqlx::query(
        "INSERT INTO log.events (tenant_id, aggregate_type, aggregate_id, sequence, event_type, event_version, payload,
                                 metadata, event_id, position, occurred_at, recorded_at, leaf_hash)
         SELECT e.tenant_id, e.aggregate_type, e.aggregate_id, e.sequence + 1, $2, '1', $3::json, e.metadata, $4, $5,
                e.occurred_at, h.recorded_at, sha256('smuggled')
         FROM log.events e, log.head h WHERE e.aggregate_id = $1 ORDER BY e.sequence DESC LIMIT 1",
    )
    .bind(aggregate)
    .bind(event_type)
    .bind(payload)
    .bind(SystemIds.next())
    .bind(position)
    .execute(&mut *transaction)
    .await
    .unwrap();
    assert_eq!(appended.rows_affected(), 1);
    transaction.commit().await.unwrap();
    position
}
