//! Skipped events: ranges of a tenant's events that the coordinator did not process because the tenant was closed (table
//! `saga.passed_over`).
//!
//! While a tenant is being moved to another cell, its events start no sagas. The coordinator records the skipped range in the transaction
//! that stores its checkpoint. When the tenant is open again, here or in its new cell (to which the range is [handed over](hand_over)), the
//! follower processes the events of this range, and only those. The checkpoint belongs to all tenants and never goes back: otherwise their
//! sagas would evaluate old events again, perhaps with another result, because they read today's state.

use kernel::{Position, TenantId};
use sqlx::postgres::PgRow;
use sqlx::{Connection, PgConnection, PgExecutor, Row};

/// A range of one tenant's skipped events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SkippedRange {
    pub(crate) tenant: TenantId,
    /// The position before the first event.
    pub(crate) after: Position,
    /// The position of the last event.
    pub(crate) to: Position,
}

/// Whether the tables of sagas exist, in this program's form.
///
/// # Errors
/// The database does not answer.
pub async fn is_migrated(connection: impl PgExecutor<'_>) -> Result<bool, sqlx::Error> {
    // Checks for the newest changes in the system catalogue, which roles without access to the tables can read, too.
    sqlx::query_scalar(
        "SELECT EXISTS (
             SELECT FROM pg_policies WHERE (schemaname, tablename, policyname) = ('saga', 'passed_over', 'backup'))
           AND EXISTS (SELECT FROM pg_indexes WHERE (schemaname, indexname) = ('saga', 'instances_turns'))",
    )
    .fetch_one(connection)
    .await
}

/// Whether the table `saga.passed_over` exists, perhaps in an earlier program's form.
///
/// # Errors
/// The database does not answer.
pub async fn is_there(connection: impl PgExecutor<'_>) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT to_regclass('saga.passed_over') IS NOT NULL").fetch_one(connection).await
}

/// Records that a closed tenant's events were skipped. Returns whether the tenant is still closed.
pub(crate) async fn record(connection: impl PgExecutor<'_>, range: SkippedRange) -> Result<bool, sqlx::Error> {
    // The lock makes a concurrent reopening of the tenant wait. If the tenant was reopened already, the caller processes its events now.
    // Events of a deleted tenant are never processed, so nothing is recorded for it.
    sqlx::query_scalar(
        "WITH closed AS (
             SELECT state FROM log.closed WHERE tenant_id = $1 FOR SHARE
         ), noted AS (
             INSERT INTO saga.passed_over AS p (tenant_id, after, upto)
             SELECT $1, $2, $3 FROM closed WHERE state <> 'deleted'
             ON CONFLICT (tenant_id) DO UPDATE
             SET after = least(p.after, excluded.after), upto = greatest(p.upto, excluded.upto)
         )
         SELECT EXISTS (SELECT FROM closed)",
    )
    .bind(range.tenant.uuid())
    .bind(range.after.as_i64())
    .bind(range.to.as_i64())
    .fetch_one(connection)
    .await
}

/// The skipped ranges of tenants that are open again. No index: the table only has rows of tenants that have left, which are few.
pub(crate) async fn reopened(connection: impl PgExecutor<'_>) -> Result<Vec<SkippedRange>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT tenant_id, after, upto FROM saga.passed_over p
         WHERE NOT EXISTS (
             SELECT FROM log.closed c WHERE c.tenant_id = p.tenant_id AND c.until > clock_timestamp())",
    )
    .fetch_all(connection)
    .await?;
    rows.iter().map(range).collect()
}

/// All skipped ranges.
pub(crate) async fn all(connection: impl PgExecutor<'_>) -> Result<Vec<SkippedRange>, sqlx::Error> {
    let rows = sqlx::query("SELECT tenant_id, after, upto FROM saga.passed_over ORDER BY tenant_id")
        .fetch_all(connection)
        .await?;
    rows.iter().map(range).collect()
}

#[expect(clippy::disallowed_methods, reason = "the tenant stands in a row that was written from the log")]
fn range(row: &PgRow) -> Result<SkippedRange, sqlx::Error> {
    Ok(SkippedRange {
        tenant: TenantId::vouched(row.try_get(0)?),
        after: Position::from_i64(row.try_get(1)?),
        to: Position::from_i64(row.try_get(2)?),
    })
}

/// Advances a skipped range to this position, and deletes it when it is complete. Returns false if another coordinator changed it
/// meanwhile.
pub(crate) async fn advance(
    connection: &mut PgConnection,
    range: SkippedRange,
    to: Position,
) -> Result<bool, sqlx::Error> {
    let tenant = range.tenant.uuid();
    let moved = sqlx::query("UPDATE saga.passed_over SET after = $3 WHERE tenant_id = $1 AND after = $2")
        .bind(tenant)
        .bind(range.after.as_i64())
        .bind(to.as_i64())
        .execute(&mut *connection)
        .await?;
    sqlx::query("DELETE FROM saga.passed_over WHERE tenant_id = $1 AND after >= upto")
        .bind(tenant)
        .execute(connection)
        .await?;
    Ok(moved.rows_affected() == 1)
}

/// The position up to which a tenant's events are processed. Skipped ranges are recorded together with the checkpoint, so the answer is
/// always exact.
///
/// # Errors
/// The tables don't answer.
pub async fn processed_up_to(connection: &mut PgConnection, tenant: TenantId) -> Result<Position, sqlx::Error> {
    // `looked` was written by coordinators before 2026-12.
    let position: i64 = sqlx::query_scalar(
        "SELECT least(
             position,
             (SELECT after FROM saga.passed_over WHERE tenant_id = $1),
             (SELECT looked FROM log.closed WHERE tenant_id = $1))
         FROM saga.checkpoint",
    )
    .bind(tenant.uuid())
    .fetch_one(connection)
    .await?;
    Ok(Position::from_i64(position))
}

/// Hands a tenant's events after one position and up to another over to the coordinator of this cell. The tenant's other events were
/// processed in its former cell. To be called in the transaction that opens the tenant.
///
/// # Errors
/// The tables don't answer.
pub async fn hand_over(
    connection: &mut PgConnection,
    tenant: TenantId,
    after: Position,
    to: Position,
) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM saga.passed_over WHERE tenant_id = $1")
        .bind(tenant.uuid())
        .execute(&mut *connection)
        .await?;
    sqlx::query("INSERT INTO saga.passed_over (tenant_id, after, upto) SELECT $1, $2, $3 WHERE $2 < $3")
        .bind(tenant.uuid())
        .bind(after.as_i64())
        .bind(to.as_i64())
        .execute(connection)
        .await?;
    Ok(())
}

/// Takes over what coordinators before 2026-12 recorded for a paused tenant, or for all (`None`).
///
/// # Errors
/// The tables don't answer.
pub async fn adopt(connection: &mut PgConnection, tenant: Option<TenantId>) -> Result<(), sqlx::Error> {
    let tenant = tenant.map(TenantId::uuid);
    let mut transaction = connection.begin().await?;
    // First lock the rows, so that no coordinator records anything any more; the checkpoint has to be read after that.
    sqlx::query(
        "SELECT FROM log.closed
         WHERE state = 'paused' AND looked IS NOT NULL AND tenant_id = coalesce($1, tenant_id) FOR UPDATE",
    )
    .bind(tenant)
    .execute(&mut *transaction)
    .await?;
    sqlx::query(
        "WITH noted AS (
             SELECT tenant_id, looked FROM log.closed
             WHERE state = 'paused' AND looked IS NOT NULL AND tenant_id = coalesce($1, tenant_id)
         ), taken AS (
             UPDATE log.closed c SET looked = NULL FROM noted n WHERE c.tenant_id = n.tenant_id
         )
         INSERT INTO saga.passed_over AS p (tenant_id, after, upto)
         SELECT n.tenant_id, n.looked, k.position FROM noted n CROSS JOIN saga.checkpoint k
         ON CONFLICT (tenant_id) DO UPDATE
         SET after = least(p.after, excluded.after), upto = greatest(p.upto, excluded.upto)",
    )
    .bind(tenant)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await
}
