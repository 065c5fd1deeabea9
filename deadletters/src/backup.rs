//! Backup of people's decisions about dead letters, together with a service's log.
//!
//! Letters are not in it, because they result from the log and the decisions when read models are built. The exception are those of sagas
//! ([`waiting`]).

use eventstore::backup::{Restore, Snapshot};
use futures::stream::{BoxStream, StreamExt};
use kernel::{Position, TenantId};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row};

use crate::Decided;

/// A decision about an event for a consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredDecision {
    /// The event's tenant.
    pub tenant: TenantId,
    /// The consumer, such as `projection.leads`.
    pub consumer: String,
    /// The event's position.
    pub position: Position,
    /// The number of the decision about this event, from 1.
    pub nth: u32,
    /// What was decided, by whom and why.
    pub decided: Decided,
}

/// The number of decisions in a snapshot.
pub async fn count(snapshot: &mut Snapshot) -> Result<u64, sqlx::Error> {
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM dead.decisions").fetch_one(snapshot.connection()).await?;
    Ok(count.cast_unsigned())
}

/// Streams all decisions of a snapshot, ordered by tenant, consumer, position and number.
pub fn decisions(snapshot: &mut Snapshot) -> BoxStream<'_, Result<StoredDecision, sqlx::Error>> {
    sqlx::query(
        "SELECT tenant_id, consumer, position, nth, kind, actor, reason, decided_at, before, after
         FROM dead.decisions ORDER BY tenant_id, consumer, position, nth",
    )
    .fetch(snapshot.connection())
    .map(|row| read(&row?))
    .boxed()
}

/// An event that is parked for a consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredLetter {
    /// The event's tenant.
    pub tenant: TenantId,
    /// The consumer, such as `saga.follow_up_lead`.
    pub consumer: String,
    /// The event's position.
    pub position: Position,
}

/// The parked events of consumers whose name begins so (`saga.`), ordered by tenant, consumer and position.
pub async fn waiting(snapshot: &mut Snapshot, kind: &str) -> Result<Vec<StoredLetter>, sqlx::Error> {
    // There are few open letters, and a backup reads everything, so no index is needed.
    let rows = sqlx::query(
        "SELECT tenant_id, consumer, position FROM dead.letters
         WHERE starts_with(consumer, $1) AND state IN ('parked', 'waiting') ORDER BY tenant_id, consumer, position",
    )
    .bind(kind)
    .fetch_all(snapshot.connection())
    .await?;
    let letter = |row: &PgRow| {
        let position = Position::from_i64(row.try_get("position")?);
        Ok(StoredLetter { tenant: tenant(row)?, consumer: row.try_get("consumer")?, position })
    };
    rows.iter().map(letter).collect()
}

/// Parks these events again, in the transaction that restores the log. The first event of each aggregate is due at once.
pub async fn park_again(into: &mut Restore, letters: &[StoredLetter]) -> Result<(), sqlx::Error> {
    let tenants = letters.iter().map(|letter| letter.tenant.uuid()).collect::<Vec<_>>();
    // The tenant ids let the transaction read these tenants' events through row level security.
    sqlx::query("SELECT set_config('app.tenant_ids', $1::uuid[]::text, true)")
        .bind(&tenants)
        .execute(into.connection())
        .await?;
    sqlx::query(
        "INSERT INTO dead.letters
             (tenant_id, consumer, position, aggregate_type, aggregate_id, event_type, state, errors, next_attempt_at)
         SELECT l.tenant_id, l.consumer, l.position, l.aggregate_type, l.aggregate_id, l.event_type,
             CASE WHEN l.nth = 1 THEN 'parked' ELSE 'waiting' END,
             CASE WHEN l.nth = 1 THEN ARRAY['it waited when the backup was taken'] ELSE '{}' END,
             CASE WHEN l.nth = 1 THEN now() END
         FROM (
             SELECT l.*, e.aggregate_type, e.aggregate_id, e.event_type,
                 row_number() OVER (PARTITION BY l.tenant_id, l.consumer, e.aggregate_type, e.aggregate_id ORDER BY l.position) AS nth
             FROM unnest($1::uuid[], $2::text[], $3::bigint[]) AS l (tenant_id, consumer, position)
             JOIN log.events e ON e.tenant_id = l.tenant_id AND e.position = l.position
         ) l",
    )
    .bind(&tenants)
    .bind(letters.iter().map(|letter| letter.consumer.as_str()).collect::<Vec<_>>())
    .bind(letters.iter().map(|letter| letter.position.as_i64()).collect::<Vec<_>>())
    .execute(into.connection())
    .await?;
    Ok(())
}

/// Writes decisions, in the transaction that restores the log.
pub async fn restore(into: &mut Restore, rows: &[StoredDecision]) -> Result<(), sqlx::Error> {
    let texts = |of: fn(&StoredDecision) -> &str| rows.iter().map(of).collect::<Vec<_>>();
    let payloads = |of: fn(&StoredDecision) -> Option<&str>| rows.iter().map(of).collect::<Vec<_>>();
    sqlx::query(
        "INSERT INTO dead.decisions (tenant_id, consumer, position, nth, kind, actor, reason, decided_at, before, after)
         SELECT * FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::integer[], $5::text[], $6::text[], $7::text[],
                              $8::timestamptz[], $9::text[], $10::text[])",
    )
    .bind(rows.iter().map(|row| row.tenant.uuid()).collect::<Vec<_>>())
    .bind(texts(|row| &row.consumer))
    .bind(rows.iter().map(|row| row.position.as_i64()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.nth.cast_signed()).collect::<Vec<_>>())
    .bind(texts(|row| row.decided.kind.as_str()))
    .bind(texts(|row| &row.decided.actor))
    .bind(texts(|row| &row.decided.reason))
    .bind(rows.iter().map(|row| row.decided.decided_at).collect::<Vec<_>>())
    .bind(payloads(|row| row.decided.before.as_deref()))
    .bind(payloads(|row| row.decided.after.as_deref()))
    .execute(into.connection())
    .await?;
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the tenant of a row that was written from the log, or by an authenticated caller"
)]
fn tenant(row: &PgRow) -> Result<TenantId, sqlx::Error> {
    row.try_get("tenant_id").map(TenantId::vouched)
}

fn read(row: &PgRow) -> Result<StoredDecision, sqlx::Error> {
    Ok(StoredDecision {
        tenant: tenant(row)?,
        consumer: row.try_get("consumer")?,
        position: Position::from_i64(row.try_get("position")?),
        nth: row.try_get::<i32, _>("nth")?.cast_unsigned(),
        decided: Decided::from_row(row)?,
    })
}
