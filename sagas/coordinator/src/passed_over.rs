//! What sagas passed over and have yet to look at: a stretch of the events of a tenant who was closed then (`saga.passed_over`).
//!
//! While a tenant is on its way to another cell its events begin nothing; the stretch is noted in the transaction that stores the
//! checkpoint. As soon as the tenant is let in again, here or in its new cell, which is [handed](hand_over) the stretch, the follower
//! looks at these events and at nobody else's. The checkpoint is everybody's and never goes back: sagas of all tenants would be asked
//! again about events that began none, and might say otherwise by what is true today.

use kernel::{Position, TenantId};
use sqlx::postgres::PgRow;
use sqlx::{Connection, PgConnection, PgExecutor, Row};

/// Events of one tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PassedOver {
    pub(crate) tenant: TenantId,
    /// The position before the first of them.
    pub(crate) after: Position,
    /// That of the last one.
    pub(crate) to: Position,
}

/// Whether the tables of sagas are there, and of this program.
///
/// # Errors
/// When the database does not answer.
pub async fn is_migrated(connection: impl PgExecutor<'_>) -> Result<bool, sqlx::Error> {
    // What came last, as the catalogue has it: who may not see the tables can ask, too.
    sqlx::query_scalar(
        "SELECT EXISTS (
             SELECT FROM pg_policies WHERE (schemaname, tablename, policyname) = ('saga', 'passed_over', 'backup'))
           AND EXISTS (SELECT FROM pg_indexes WHERE (schemaname, indexname) = ('saga', 'instances_turns'))",
    )
    .fetch_one(connection)
    .await
}

/// Whether it can stand somewhere what was passed over, be the tables of sagas of a program of before.
///
/// # Errors
/// When the database does not answer.
pub async fn is_there(connection: impl PgExecutor<'_>) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT to_regclass('saga.passed_over') IS NOT NULL").fetch_one(connection).await
}

/// Notes that a closed tenant's events were passed over; whether it is closed still.
pub(crate) async fn note(connection: impl PgExecutor<'_>, stretch: PassedOver) -> Result<bool, sqlx::Error> {
    // Whoever lets the tenant in waits, or has done it before: then they are looked at now. Of who is deleted nothing ever is.
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
    .bind(stretch.tenant.uuid())
    .bind(stretch.after.as_i64())
    .bind(stretch.to.as_i64())
    .fetch_one(connection)
    .await
}

/// What was passed over of tenants who are let in. A row stays only of who has left: few, so no index.
pub(crate) async fn open(connection: impl PgExecutor<'_>) -> Result<Vec<PassedOver>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT tenant_id, after, upto FROM saga.passed_over p
         WHERE NOT EXISTS (
             SELECT FROM log.closed c WHERE c.tenant_id = p.tenant_id AND c.until > clock_timestamp())",
    )
    .fetch_all(connection)
    .await?;
    rows.iter().map(stretch).collect()
}

/// What was passed over of anybody.
pub(crate) async fn all(connection: impl PgExecutor<'_>) -> Result<Vec<PassedOver>, sqlx::Error> {
    let rows = sqlx::query("SELECT tenant_id, after, upto FROM saga.passed_over ORDER BY tenant_id")
        .fetch_all(connection)
        .await?;
    rows.iter().map(stretch).collect()
}

#[expect(clippy::disallowed_methods, reason = "the tenant stands in a row that was written from the log")]
fn stretch(row: &PgRow) -> Result<PassedOver, sqlx::Error> {
    Ok(PassedOver {
        tenant: TenantId::vouched(row.try_get(0)?),
        after: Position::from_i64(row.try_get(1)?),
        to: Position::from_i64(row.try_get(2)?),
    })
}

/// A stretch was looked at up to here; whether nobody else did that meanwhile.
pub(crate) async fn looked_at(
    connection: &mut PgConnection,
    stretch: PassedOver,
    to: Position,
) -> Result<bool, sqlx::Error> {
    let tenant = stretch.tenant.uuid();
    let moved = sqlx::query("UPDATE saga.passed_over SET after = $3 WHERE tenant_id = $1 AND after = $2")
        .bind(tenant)
        .bind(stretch.after.as_i64())
        .bind(to.as_i64())
        .execute(&mut *connection)
        .await?;
    sqlx::query("DELETE FROM saga.passed_over WHERE tenant_id = $1 AND after >= upto")
        .bind(tenant)
        .execute(connection)
        .await?;
    Ok(moved.rows_affected() == 1)
}

/// Up to where a tenant's events were looked at. What is passed over is noted with the checkpoint, so this is right whenever it is
/// asked.
///
/// # Errors
/// When the tables don't answer.
pub async fn looked_up_to(connection: &mut PgConnection, tenant: TenantId) -> Result<Position, sqlx::Error> {
    // `looked` is what a coordinator of before 2026-12 notes.
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

/// Hands a tenant's events after one position and up to another over to whoever follows here, and nothing else of it: the rest was looked
/// at where the tenant lived before. In the transaction that lets it in.
///
/// # Errors
/// When the tables don't answer.
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

/// Takes over what a coordinator of before 2026-12 noted of a paused tenant, or of all.
///
/// # Errors
/// When the tables don't answer.
pub async fn adopt(connection: &mut PgConnection, tenant: Option<TenantId>) -> Result<(), sqlx::Error> {
    let tenant = tenant.map(TenantId::uuid);
    let mut transaction = connection.begin().await?;
    // First that nobody notes anything any more: the checkpoint has to be asked after that.
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
