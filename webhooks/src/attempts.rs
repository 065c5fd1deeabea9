//! The statements of a worker: recording attempts, and moving the cursor. Each does both in one statement, so that both happen or none.

use chrono::{DateTime, Utc};
use kernel::{Position, RecordedEvent, TenantId};
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{PgConnection, PgExecutor, PgPool, Postgres};
use uuid::Uuid;

use crate::Outcome;
use crate::sender::refuses_event;
use crate::worker::Target;

/// An attempt to deliver an event.
#[derive(Clone, Copy)]
pub(crate) struct Attempt<'a> {
    pub(crate) event: &'a RecordedEvent,
    pub(crate) at: DateTime<Utc>,
    pub(crate) nth: u32,
    pub(crate) outcome: &'a Outcome,
}

/// Records an attempt (`$4` and following) and updates the cursor. The cursor is not updated if somebody has set it meanwhile, in which
/// case its generation differs.
macro_rules! record {
    ($set:literal) => {
        concat!(
            "WITH recorded AS (
                 INSERT INTO webhooks.deliveries (tenant_id, endpoint_id, delivery_id, message_id, event_type, position,
                     attempt, sent_at, duration_ms, status, error, response)
                 SELECT $1, $2, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13
                 WHERE EXISTS (SELECT FROM webhooks.endpoints WHERE tenant_id = $1 AND endpoint_id = $2)
             )
             UPDATE webhooks.cursors SET ",
            $set,
            " WHERE tenant_id = $1 AND endpoint_id = $2 AND generation = $3"
        )
    };
}

/// Whether the endpoint is unchanged since the worker started. Checked before each attempt, so that a change (of the URL, of the secret)
/// applies to all attempts that begin after it.
pub(crate) async fn current(pool: &PgPool, target: &Target) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT EXISTS (
             SELECT FROM webhooks.endpoints JOIN webhooks.cursors USING (tenant_id, endpoint_id)
             WHERE tenant_id = $1 AND endpoint_id = $2 AND version = $3 AND generation = $4 AND enabled
         )",
    )
    .bind(target.tenant.uuid())
    .bind(target.id)
    .bind(target.version)
    .bind(target.generation)
    .fetch_one(pool)
    .await
}

/// Records a delivered event. Returns false if somebody else has set the cursor.
pub(crate) async fn delivered(
    pool: &PgPool,
    target: &Target,
    delivery: Uuid,
    attempt: Attempt<'_>,
) -> Result<bool, sqlx::Error> {
    let sql = record!(
        "position = greatest(position, $7), attempts = 0, failing_since = NULL, next_attempt_at = NULL, delivered = delivered + 1"
    );
    let done = bind(sqlx::query(sql), target, delivery, attempt).execute(pool).await?;
    Ok(done.rows_affected() == 1)
}

/// Records a failed attempt, and when the next one is due. Returns false if somebody else has set the cursor.
pub(crate) async fn failed(
    pool: &PgPool,
    target: &Target,
    delivery: Uuid,
    attempt: Attempt<'_>,
) -> Result<bool, sqlx::Error> {
    let sql =
        record!("attempts = $8, failing_since = $14, next_attempt_at = $15, position = greatest(position, $7 - 1)");
    let query = bind(sqlx::query(sql), target, delivery, attempt);
    let done = query.bind(target.failing_since).bind(target.next_attempt_at).execute(pool).await?;
    Ok(done.rows_affected() == 1)
}

fn bind<'q>(
    query: Query<'q, Postgres, PgArguments>,
    target: &Target,
    delivery: Uuid,
    Attempt { event, at, nth, outcome }: Attempt<'q>,
) -> Query<'q, Postgres, PgArguments> {
    query
        .bind(target.tenant.uuid())
        .bind(target.id)
        .bind(target.generation)
        .bind(delivery)
        .bind(event.event_id)
        .bind(&event.event_type)
        .bind(event.position.as_i64())
        .bind(nth.min(i32::MAX as u32).cast_signed())
        .bind(at)
        .bind(i64::try_from(outcome.duration.as_millis()).unwrap_or(i64::MAX))
        .bind(outcome.status.map(i32::from))
        .bind(outcome.error.as_deref())
        .bind(&outcome.response)
}

/// How many of the last attempts in a row were refusals of the event itself, at most `most`; from the attempts that earlier workers
/// recorded.
pub(crate) async fn refusals(
    pool: &PgPool,
    target: &Target,
    event: &RecordedEvent,
    most: u32,
) -> Result<u32, sqlx::Error> {
    // Uses the primary key, backwards; there are few rows, because only the last deliveries of an endpoint are kept.
    let found: Vec<Option<i32>> = sqlx::query_scalar(
        "SELECT status FROM webhooks.deliveries WHERE tenant_id = $1 AND endpoint_id = $2 AND message_id = $3
         ORDER BY delivery_id DESC LIMIT $4",
    )
    .bind(target.tenant.uuid())
    .bind(target.id)
    .bind(event.event_id)
    .bind(i64::from(most))
    .fetch_all(pool)
    .await?;
    let refused = |status: Option<i32>| status.and_then(|status| u16::try_from(status).ok()).is_some_and(refuses_event);
    let row = found.iter().position(|status| !refused(*status)).unwrap_or(found.len());
    Ok(u32::try_from(row).unwrap_or(most))
}

/// Moves the cursor past an event, in the transaction that parks it. Returns false if somebody else has set the cursor.
pub(crate) async fn parked(
    transaction: &mut PgConnection,
    target: &Target,
    position: Position,
) -> Result<bool, sqlx::Error> {
    let moved = sqlx::query(
        "UPDATE webhooks.cursors
         SET position = greatest(position, $4), attempts = 0, failing_since = NULL, next_attempt_at = NULL
         WHERE tenant_id = $1 AND endpoint_id = $2 AND generation = $3",
    )
    .bind(target.tenant.uuid())
    .bind(target.id)
    .bind(target.generation)
    .bind(position.as_i64())
    .execute(transaction)
    .await?;
    Ok(moved.rows_affected() == 1)
}

/// Records an attempt to deliver a parked event. The cursor is past it, and does not move. Returns false if somebody else has set the
/// cursor.
pub(crate) async fn retried(
    pool: &PgPool,
    target: &Target,
    delivery: Uuid,
    attempt: Attempt<'_>,
) -> Result<bool, sqlx::Error> {
    let sql = record!("delivered = delivered + CASE WHEN $12::text IS NULL THEN 1 ELSE 0 END");
    let done = bind(sqlx::query(sql), target, delivery, attempt).execute(pool).await?;
    Ok(done.rows_affected() == 1)
}

/// Moves the cursor past events that the endpoint does not want. Returns false if somebody else has set the cursor.
pub(crate) async fn skipped(pool: &PgPool, target: &Target) -> Result<bool, sqlx::Error> {
    let moved = sqlx::query(
        "UPDATE webhooks.cursors SET position = $4 WHERE tenant_id = $1 AND endpoint_id = $2 AND generation = $3",
    )
    .bind(target.tenant.uuid())
    .bind(target.id)
    .bind(target.generation)
    .bind(target.position.as_i64())
    .execute(pool)
    .await?;
    Ok(moved.rows_affected() == 1)
}

/// Disables an endpoint automatically, and creates the notice to its tenant.
pub(crate) async fn disable(
    pool: &PgPool,
    target: &Target,
    at: DateTime<Utc>,
    reason: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "WITH off AS (
             UPDATE webhooks.endpoints SET enabled = false, disabled_reason = $3, version = version + 1, changed_at = $4
             WHERE tenant_id = $1 AND endpoint_id = $2 AND enabled AND version = $5 RETURNING version
         ), tell AS (
             INSERT INTO webhooks.notices (tenant_id, endpoint_id, version, disabled_at, reason, next_attempt_at)
             SELECT $1, $2, version, $4, $3, $4 FROM off
         )
         INSERT INTO webhooks.changes (tenant_id, endpoint_id, version, actor, changed_at, change, detail)
         SELECT $1, $2, version, 'inopsio', $4, 'disabled', jsonb_build_object('reason', $3) FROM off",
    )
    .bind(target.tenant.uuid())
    .bind(target.id)
    .bind(reason)
    .bind(at)
    .bind(target.version)
    .execute(pool)
    .await
    .map(drop)
}

/// Deletes all but the newest deliveries of an endpoint.
pub(crate) async fn trim(
    connection: impl PgExecutor<'_>,
    tenant: TenantId,
    endpoint: Uuid,
    kept: u32,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "DELETE FROM webhooks.deliveries WHERE tenant_id = $1 AND endpoint_id = $2 AND delivery_id < (
             SELECT delivery_id FROM webhooks.deliveries WHERE tenant_id = $1 AND endpoint_id = $2
             ORDER BY delivery_id DESC OFFSET greatest($3 - 1, 0) LIMIT 1)",
    )
    .bind(tenant.uuid())
    .bind(endpoint)
    .bind(i64::from(kept))
    .execute(connection)
    .await
    .map(drop)
}
