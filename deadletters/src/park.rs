//! Parking events, in the transaction in which a consumer processes the others; and removing parked events.

use std::time::Duration;

use kernel::{Position, RecordedEvent, TenantId};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::jitter::JITTER;
use crate::{Backoff, Consumer, Share, errors};

/// An event to be parked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The event's tenant.
    pub tenant: TenantId,
    /// Its aggregate's type.
    pub aggregate_type: String,
    /// Its aggregate's id.
    pub aggregate_id: String,
    /// The event's type.
    pub event_type: String,
    /// The event's position in the log.
    pub position: Position,
    /// Why the consumer could not process it, outermost reason first; `None` if it only waits behind an earlier event of its aggregate.
    pub errors: Option<Vec<String>>,
}

impl Entry {
    /// An entry for an event, with the errors if its own processing failed.
    pub fn new(event: &RecordedEvent, errors: Option<Vec<String>>) -> Self {
        Self {
            tenant: event.tenant,
            aggregate_type: event.aggregate_type.clone(),
            aggregate_id: event.aggregate_id.clone(),
            event_type: event.event_type.clone(),
            position: event.position,
            errors: errors.map(errors::tidy),
        }
    }
}

/// Parks events. For each aggregate without parked events, the first entry must have errors. Events that are parked already stay as they
/// are (events may be delivered twice). Letters that were applied or discarded start again.
pub async fn park(
    connection: &mut PgConnection,
    consumer: &Consumer,
    entries: &[Entry],
    backoff: Backoff,
) -> Result<(), sqlx::Error> {
    if entries.is_empty() {
        return Ok(());
    }
    let tenants: Vec<Uuid> = entries.iter().map(|entry| entry.tenant.uuid()).collect();
    let positions: Vec<i64> = entries.iter().map(|entry| entry.position.as_i64()).collect();
    let types: Vec<&str> = entries.iter().map(|entry| entry.aggregate_type.as_str()).collect();
    let ids: Vec<&str> = entries.iter().map(|entry| entry.aggregate_id.as_str()).collect();
    let names: Vec<&str> = entries.iter().map(|entry| entry.event_type.as_str()).collect();
    // Postgres requires arrays of arrays to be rectangular, so each list is sent as JSON.
    let reasons: Vec<Option<serde_json::Value>> =
        entries.iter().map(|entry| entry.errors.as_ref().map(|errors| serde_json::json!(errors))).collect();
    sqlx::query(&format!(
        "WITH e AS (
             SELECT e.*, CASE WHEN e.reasons IS NULL THEN '{{}}' ELSE ARRAY(SELECT jsonb_array_elements_text(e.reasons)) END AS errors
             FROM unnest($2::uuid[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::jsonb[])
                 AS e (tenant_id, position, aggregate_type, aggregate_id, event_type, reasons)),
         tried AS (
             INSERT INTO dead.attempts (consumer, tenant_id, position, attempt, errors)
             SELECT $1, tenant_id, position, 1, errors FROM e WHERE reasons IS NOT NULL
             ON CONFLICT DO NOTHING)
         INSERT INTO dead.letters (consumer, tenant_id, position, aggregate_type, aggregate_id, event_type, state, attempts, errors,
             next_attempt_at)
         SELECT $1, tenant_id, position, aggregate_type, aggregate_id, event_type,
             CASE WHEN reasons IS NULL THEN 'waiting' ELSE 'parked' END, CASE WHEN reasons IS NULL THEN 0 ELSE 1 END, errors,
             CASE WHEN reasons IS NOT NULL THEN now() + make_interval(secs => $8 * {JITTER}) END
         FROM e
         ON CONFLICT (tenant_id, consumer, position) DO UPDATE
         SET state = excluded.state, attempts = excluded.attempts, errors = excluded.errors, parked_at = now(),
             changed_at = now(), next_attempt_at = excluded.next_attempt_at
         WHERE letters.state IN ('applied', 'discarded')"
    ))
    .bind(consumer.as_str())
    .bind(&tenants)
    .bind(&positions)
    .bind(&types)
    .bind(&ids)
    .bind(&names)
    .bind(&reasons)
    .bind(backoff.pause(1).as_secs_f64())
    .execute(connection)
    .await?;
    Ok(())
}

/// Makes all parked letters due soon, spread over `within`. For a consumer that another process has taken over: its program may be able to
/// process what the previous one could not.
pub async fn retry_soon(
    connection: &mut PgConnection,
    consumer: &Consumer,
    share: Share,
    within: Duration,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE dead.letters SET next_attempt_at = least(next_attempt_at, now() + make_interval(secs => $2 * random()))
         WHERE consumer = $1 AND state = 'parked' AND get_byte(uuid_send(tenant_id), 15) & ($4 - 1) = $3",
    )
    .bind(consumer.as_str())
    .bind(within.as_secs_f64())
    .bind(share.number.cast_signed())
    .bind(share.of.cast_signed())
    .execute(connection)
    .await
    .map(drop)
}

/// Deletes a tenant's letters after this position, for a consumer that processes what comes after it again, or is removed. Decisions stay.
pub async fn forget(
    connection: &mut PgConnection,
    tenant: TenantId,
    consumer: &Consumer,
    after: Position,
) -> Result<(), sqlx::Error> {
    for table in ["letters", "attempts"] {
        sqlx::query(&format!("DELETE FROM dead.{table} WHERE tenant_id = $1 AND consumer = $2 AND position > $3"))
            .bind(tenant.uuid())
            .bind(consumer.as_str())
            .bind(after.as_i64())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Locks a consumer's parked letters until the transaction ends, and waits for anybody who is deciding about one of them. For transactions
/// that [clear](clear) them later; call it before taking locks for which others wait.
pub async fn hold(connection: &mut PgConnection, consumer: &Consumer) -> Result<(), sqlx::Error> {
    // Ordered by position, as other transactions lock several letters.
    sqlx::query(
        "SELECT FROM dead.letters WHERE consumer = $1 AND state IN ('parked', 'waiting') ORDER BY position FOR UPDATE",
    )
    .bind(consumer.as_str())
    .execute(connection)
    .await
    .map(drop)
}

/// Deletes the letters of a consumer that processes all events again. Decisions stay.
pub async fn clear(connection: &mut PgConnection, consumer: &Consumer) -> Result<(), sqlx::Error> {
    // Spans all tenants, and has no index: it happens only after a rebuild, and there are few letters.
    for statement in [
        "DELETE FROM dead.letters WHERE consumer = $1 AND state <> 'discarded'",
        "DELETE FROM dead.attempts a WHERE consumer = $1 AND NOT EXISTS (
             SELECT FROM dead.letters l
             WHERE l.tenant_id = a.tenant_id AND l.consumer = a.consumer AND l.position = a.position)",
    ] {
        sqlx::query(statement).bind(consumer.as_str()).execute(&mut *connection).await?;
    }
    Ok(())
}
