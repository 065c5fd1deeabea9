//! The statements on the coordinator's tables: `saga.instances`, the checkpoint, and events parked by earlier programs.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use kernel::{Position, TenantId};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgExecutor, Row};
use uuid::Uuid;

use crate::state::{State, Status};

/// The primary key of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct InstanceKey {
    pub(crate) tenant: TenantId,
    pub(crate) id: Uuid,
}

/// What an event wakes: the instances of a saga with this key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SagaKey {
    pub(crate) tenant: TenantId,
    pub(crate) saga: &'static str,
    pub(crate) key: String,
}

/// Sets a row's columns, unless it shows a later version. `$15` (`seen`): the instance has processed all events up to this position; if an
/// event after it has woken the instance (`poked`), it is due at once.
macro_rules! set_columns {
    () => {
        " saga = $3, definition = $4, key = $5, status = $6, step = $7, undo = $8, turn = $9, attempt = $10, code = $11,
             reason = $12, version = $13, seen = GREATEST(i.seen, $15),
             wake_at = CASE WHEN i.poked > GREATEST(i.seen, $15) AND $14 > $16 THEN $16 ELSE $14 END,
             changed_at = CASE WHEN i.version < $13 THEN $16 ELSE i.changed_at END
         WHERE i.version <= $13"
    };
}

/// Locks these tenants, so that none of their rows is deleted before the transaction ends. A transaction that changes several tenants' rows
/// has to call this before the first change; otherwise it could deadlock with one that destroys a tenant. It locks rows and not advisory
/// locks, because a transaction may have any number of row locks, while advisory locks take shared memory.
pub(crate) async fn hold(transaction: &mut PgConnection, tenants: &HashSet<TenantId>) -> Result<(), sqlx::Error> {
    if tenants.is_empty() {
        return Ok(());
    }
    sqlx::query("SELECT log.hold($1)")
        .bind(tenants.iter().map(|tenant| tenant.uuid()).collect::<Vec<_>>())
        .execute(transaction)
        .await?;
    Ok(())
}

/// Inserts or updates an instance's row, unless the row shows a later version. No row is inserted for a tenant that is being destroyed: the
/// trigger `log.pass_over_gone` skips it. `seen`: the instance has processed all events up to this position.
pub(crate) async fn write(
    transaction: &mut PgConnection,
    key: InstanceKey,
    state: &State,
    wake_at: Option<DateTime<Utc>>,
    seen: Position,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    // The update comes first: for a tenant that is being destroyed, the row of the saga that destroys it still has to be updated.
    let sql = concat!(
        "WITH shown AS (
             UPDATE saga.instances AS i SET",
        set_columns!(),
        " AND i.tenant_id = $1 AND i.instance_id = $2 RETURNING i.instance_id
         )
         INSERT INTO saga.instances AS i
             (tenant_id, instance_id, saga, definition, key, status, step, undo, turn, attempt, code, reason, version,
              wake_at, seen, started_at, changed_at)
         SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $16
         WHERE NOT EXISTS (SELECT FROM shown)
         ON CONFLICT (tenant_id, instance_id) DO UPDATE SET",
        set_columns!()
    );
    write_row(transaction, sql, key, state, wake_at, seen, now).await
}

/// Updates an instance's row as `write` does, but does not insert one that was deleted.
pub(crate) async fn update(
    connection: impl PgExecutor<'_>,
    key: InstanceKey,
    state: &State,
    wake_at: Option<DateTime<Utc>>,
    seen: Position,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let sql = concat!("UPDATE saga.instances AS i SET", set_columns!(), " AND i.tenant_id = $1 AND i.instance_id = $2");
    write_row(connection, sql, key, state, wake_at, seen, now).await
}

async fn write_row(
    connection: impl PgExecutor<'_>,
    sql: &str,
    key: InstanceKey,
    state: &State,
    wake_at: Option<DateTime<Utc>>,
    seen: Position,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let current = state.current.as_ref();
    sqlx::query(sql)
        .bind(key.tenant.uuid())
        .bind(key.id)
        .bind(&state.saga)
        .bind(i64::from(state.definition))
        .bind(&state.key)
        .bind(state.status.as_str())
        .bind(current.map(|current| &current.step))
        .bind(current.map_or(state.unwinding, |current| current.undo))
        .bind(current.map_or(0, |current| i64::from(current.turn)))
        .bind(current.map_or(0, |current| i64::from(current.attempt)))
        .bind(state.why.as_ref().map(|(code, _)| code))
        .bind(state.why.as_ref().map(|(_, reason)| reason))
        .bind(state.version.cast_signed())
        .bind(wake_at)
        .bind(seen.as_i64())
        .bind(now)
        .execute(connection)
        .await?;
    Ok(())
}

/// The version that an instance's row shows; 0 if there is no row.
pub(crate) async fn version(connection: impl PgExecutor<'_>, key: InstanceKey) -> Result<u64, sqlx::Error> {
    let found: Option<i64> =
        sqlx::query_scalar("SELECT version FROM saga.instances WHERE tenant_id = $1 AND instance_id = $2")
            .bind(key.tenant.uuid())
            .bind(key.id)
            .fetch_optional(connection)
            .await?;
    Ok(found.map_or(0, i64::cast_unsigned))
}

/// Filters these sagas of tenants to those that have an instance with a timer. One statement for all, which uses the index for each.
pub(crate) async fn waiting(
    connection: impl PgExecutor<'_>,
    sagas: HashSet<(TenantId, &'static str)>,
) -> Result<HashSet<(TenantId, &'static str)>, sqlx::Error> {
    if sagas.is_empty() {
        return Ok(sagas);
    }
    let sagas: Vec<_> = sagas.into_iter().collect();
    let found: Vec<i64> = sqlx::query_scalar(
        "SELECT p.nth FROM unnest($1::uuid[], $2::text[]) WITH ORDINALITY AS p (tenant_id, saga, nth)
         CROSS JOIN LATERAL (
             SELECT FROM saga.instances i
             WHERE i.tenant_id = p.tenant_id AND i.saga = p.saga AND i.wake_at IS NOT NULL LIMIT 1
         ) waiting",
    )
    .bind(sagas.iter().map(|(tenant, _)| tenant.uuid()).collect::<Vec<_>>())
    .bind(sagas.iter().map(|(_, saga)| *saga).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    let found: HashSet<i64> = found.into_iter().collect();
    Ok((1..).zip(sagas).filter(|(nth, _)| found.contains(nth)).map(|(_, saga)| saga).collect())
}

/// Filters these wake-ups to those for which an instance waits. One statement for all, which uses the index for each key.
pub(crate) async fn awaited(
    connection: impl PgExecutor<'_>,
    mut wakes: HashMap<SagaKey, Position>,
) -> Result<HashMap<SagaKey, Position>, sqlx::Error> {
    if wakes.is_empty() {
        return Ok(wakes);
    }
    let keys: Vec<SagaKey> = wakes.keys().cloned().collect();
    let found: Vec<i64> = sqlx::query_scalar(
        "SELECT p.nth FROM unnest($1::uuid[], $2::text[], $3::text[]) WITH ORDINALITY AS p (tenant_id, saga, key, nth)
         CROSS JOIN LATERAL (
             SELECT FROM saga.instances i
             WHERE i.tenant_id = p.tenant_id AND i.saga = p.saga AND i.key = p.key AND i.wake_at IS NOT NULL LIMIT 1
         ) waiting",
    )
    .bind(keys.iter().map(|key| key.tenant.uuid()).collect::<Vec<_>>())
    .bind(keys.iter().map(|key| key.saga).collect::<Vec<_>>())
    .bind(keys.iter().map(|key| key.key.as_str()).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    let found: HashSet<i64> = found.into_iter().collect();
    for (nth, key) in (1..).zip(&keys) {
        if !found.contains(&nth) {
            wakes.remove(key);
        }
    }
    Ok(wakes)
}

/// Wakes the waiting instances of a saga with this key.
pub(crate) async fn wake(
    connection: &mut PgConnection,
    SagaKey { tenant, saga, key }: &SagaKey,
    at: Position,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE saga.instances SET wake_at = LEAST(wake_at, $5), poked = $4
         WHERE tenant_id = $1 AND saga = $2 AND key = $3 AND wake_at IS NOT NULL AND poked < $4 AND seen < $4",
    )
    .bind(tenant.uuid())
    .bind(saga)
    .bind(key)
    .bind(at.as_i64())
    .bind(now)
    .execute(connection)
    .await?;
    Ok(())
}

/// Excludes tenants that are being moved to another cell, live in another cell, or are deleted.
macro_rules! tenant_is_here {
    () => {
        "(tenant_id = ANY ((SELECT log.closed_now())::uuid[])) IS NOT TRUE"
    };
}

/// The instances that are due, the longest overdue first.
pub(crate) async fn due(connection: impl PgExecutor<'_>, now: DateTime<Utc>, limit: usize) -> Result<Due, sqlx::Error> {
    let rows = sqlx::query(concat!(
        "SELECT tenant_id, instance_id, wake_at FROM saga.instances WHERE wake_at <= $1 AND ",
        tenant_is_here!(),
        " ORDER BY wake_at LIMIT $2"
    ))
    .bind(now)
    .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    .fetch_all(connection)
    .await?;
    rows.iter().map(due_row).collect()
}

/// The due instances of all tenants but these: of each tenant the `each` longest overdue ones, ordered so that the first of every tenant
/// comes before any second. Costs one index lookup per tenant that has timers, however many of them are due.
pub(crate) async fn due_of_others(
    connection: impl PgExecutor<'_>,
    now: DateTime<Utc>,
    than: &[TenantId],
    each: usize,
    limit: usize,
) -> Result<Due, sqlx::Error> {
    let rows = sqlx::query(concat!(
        "WITH RECURSIVE waiting AS (
             (SELECT tenant_id, wake_at FROM saga.instances WHERE wake_at IS NOT NULL ORDER BY tenant_id, wake_at LIMIT 1)
             UNION ALL
             SELECT next.tenant_id, next.wake_at FROM waiting w CROSS JOIN LATERAL (
                 SELECT tenant_id, wake_at FROM saga.instances
                 WHERE wake_at IS NOT NULL AND tenant_id > w.tenant_id ORDER BY tenant_id, wake_at LIMIT 1
             ) next
         )
         SELECT of_one.tenant_id, of_one.instance_id, of_one.wake_at
         FROM (SELECT tenant_id FROM waiting WHERE wake_at <= $1 AND tenant_id <> ALL ($2) AND ",
        tenant_is_here!(),
        ") others
         CROSS JOIN LATERAL (
             SELECT tenant_id, instance_id, wake_at, row_number() OVER (ORDER BY wake_at) AS nth
             FROM (
                 SELECT tenant_id, instance_id, wake_at FROM saga.instances i
                 WHERE i.tenant_id = others.tenant_id AND i.wake_at <= $1 ORDER BY i.wake_at LIMIT $3
             ) longest
         ) of_one
         ORDER BY of_one.nth, of_one.wake_at LIMIT $4"
    ))
    .bind(now)
    .bind(than.iter().map(|tenant| tenant.uuid()).collect::<Vec<_>>())
    .bind(i64::try_from(each).unwrap_or(i64::MAX))
    .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    .fetch_all(connection)
    .await?;
    rows.iter().map(due_row).collect()
}

/// Instances, and the time at which each became due.
pub(crate) type Due = Vec<(InstanceKey, DateTime<Utc>)>;

#[expect(clippy::disallowed_methods, reason = "the tenant stands in a row that the coordinator wrote from the log")]
fn due_row(row: &PgRow) -> Result<(InstanceKey, DateTime<Utc>), sqlx::Error> {
    let key = InstanceKey { tenant: TenantId::vouched(row.try_get(0)?), id: row.try_get(1)? };
    Ok((key, row.try_get(2)?))
}

/// When the next instance is due after `now`.
pub(crate) async fn next_due(
    connection: impl PgExecutor<'_>,
    now: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, sqlx::Error> {
    sqlx::query_scalar(concat!("SELECT min(wake_at) FROM saga.instances WHERE wake_at > $1 AND ", tenant_is_here!()))
        .bind(now)
        .fetch_one(connection)
        .await
}

/// The number of running, unwinding and stuck instances, by definition, of the tenants that live in this cell.
pub(crate) async fn counts(connection: &mut PgConnection) -> Result<Vec<Count>, sqlx::Error> {
    let rows = sqlx::query(concat!(
        "SELECT saga, definition, status, count(*) FROM saga.instances
         WHERE status IN ('running', 'unwinding', 'stuck') AND ",
        tenant_is_here!(),
        " GROUP BY saga, definition, status"
    ))
    .fetch_all(&mut *connection)
    .await?;
    let counts = rows.iter().map(|row| {
        let definition: i64 = row.try_get(1)?;
        Ok(Count {
            saga: row.try_get(0)?,
            definition: u32::try_from(definition).unwrap_or(u32::MAX),
            status: Status::named(row.try_get(2)?).unwrap_or_default(),
            instances: row.try_get(3)?,
        })
    });
    counts.collect()
}

/// The number of instances of a definition with a status.
pub(crate) struct Count {
    pub(crate) saga: String,
    pub(crate) definition: u32,
    pub(crate) status: Status,
    pub(crate) instances: i64,
}

/// The checkpoint; `None` if the tables were never created.
pub(crate) async fn checkpoint(connection: impl PgExecutor<'_>) -> Result<Option<Position>, sqlx::Error> {
    let found: Option<i64> =
        sqlx::query_scalar("SELECT position FROM saga.checkpoint").fetch_optional(connection).await?;
    Ok(found.map(Position::from_i64))
}

/// Moves the checkpoint by compare-and-set; false if it is not at `from`.
pub(crate) async fn advance(
    connection: impl PgExecutor<'_>,
    from: Position,
    to: Position,
) -> Result<bool, sqlx::Error> {
    let moved = sqlx::query("UPDATE saga.checkpoint SET position = $2 WHERE position = $1")
        .bind(from.as_i64())
        .bind(to.as_i64())
        .execute(connection)
        .await?;
    Ok(moved.rows_affected() == 1)
}

/// Events that an earlier program parked: saga and position.
pub(crate) async fn parked(connection: impl PgExecutor<'_>) -> Result<Vec<(String, Position)>, sqlx::Error> {
    let rows =
        sqlx::query("SELECT saga, position FROM saga.parked_events ORDER BY position").fetch_all(connection).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, Position::from_i64(row.try_get(1)?)))).collect()
}

/// Deletes an event that an earlier program parked.
pub(crate) async fn unpark(connection: impl PgExecutor<'_>, saga: &str, at: Position) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM saga.parked_events WHERE saga = $1 AND position = $2")
        .bind(saga)
        .bind(at.as_i64())
        .execute(connection)
        .await?;
    Ok(())
}
