//! Reading events: one stream, or all by position.

use std::time::Duration;

use bytes::Bytes;
use kernel::{Position, RecordedEvent, TenantId};
use sqlx::postgres::{PgPool, PgRow};
use sqlx::{PgConnection, Row, ValueRef};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::Error;
use crate::bounded::Bounded;
use crate::failure::{Failure, judge};

/// The columns that [`event`] reads, in its order.
macro_rules! columns {
    () => {
        "tenant_id, position, event_id, aggregate_type, aggregate_id, sequence, event_type, event_version, payload, \
         metadata, occurred_at, recorded_at"
    };
}
pub(crate) use columns;

const LOAD: &str = concat!("SELECT ", columns!(), " FROM log.load($1, $2, $3, $4)");

const AFTER: &str = concat!("SELECT ", columns!(), " FROM log.events WHERE position > $1 ORDER BY position LIMIT $2");

/// As [`partition_of`] says it. Positions are dense, so a stretch of them bounds the work, however few of its events are wanted.
const PARTITION: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM log.events WHERE position > $1 AND position <= $2 AND get_byte(uuid_send(tenant_id), 15) & ($3 - 1) = $4
      ORDER BY position"
);

/// Events of a stretch of the log: at most as many as were asked for, and at most one after they have [`PAGE_BYTES`](crate::PAGE_BYTES). So
/// fewer than were asked for may be there although there are more; whether there are, `more` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventSlice {
    /// Those that were asked for, in order.
    pub events: Vec<RecordedEvent>,
    /// There is no other one up to here.
    pub last: Position,
    /// Whether the log goes on after that, as far as was seen.
    pub more: bool,
}

/// The partition of a tenant when its like are divided into so many: a power of two, at most 256. It is told by the last bits of
/// the id, which are random.
pub fn partition_of(tenant: Uuid, partitions: u32) -> u32 {
    let [.., last] = *tenant.as_bytes();
    u32::from(last) & partitions.saturating_sub(1)
}

const AT: &str = concat!("SELECT ", columns!(), " FROM log.events WHERE position = ANY($1) ORDER BY position");

const OF_TENANT_AT: &str =
    concat!("SELECT ", columns!(), " FROM log.events WHERE tenant_id = $1 AND position = ANY($2)");

/// Each tenant is found from the one before it, and its own stream's last event, by the primary key: however much they have written.
const LAST_OF_TENANTS: &str = concat!(
    "WITH RECURSIVE tenants (id) AS (
         (SELECT tenant_id FROM log.events ORDER BY tenant_id LIMIT 1)
         UNION ALL
         SELECT (SELECT tenant_id FROM log.events WHERE tenant_id > id ORDER BY tenant_id LIMIT 1)
         FROM tenants
         WHERE id IS NOT NULL
     )
     SELECT ",
    columns!(),
    " FROM tenants
      CROSS JOIN LATERAL (
          SELECT ",
    columns!(),
    " FROM log.events
          WHERE tenant_id = id AND aggregate_type = $1 AND aggregate_id = id::text
            AND event_type = ANY ($2) AND position <= $3
          ORDER BY sequence DESC
          LIMIT 1
      ) last
      ORDER BY position"
);

/// How long a read goes on trying when its connection was lost.
const PATIENCE: Duration = Duration::from_secs(3);

/// Reads a row of `columns!()`.
#[expect(
    clippy::disallowed_methods,
    reason = "the tenant is read from the log, where only authenticated callers wrote"
)]
pub(crate) fn event(row: &PgRow) -> Result<RecordedEvent, Error> {
    let version: &str = row.try_get(7)?;
    Ok(RecordedEvent {
        tenant: TenantId::vouched(row.try_get(0)?),
        position: Position::from_i64(row.try_get(1)?),
        event_id: row.try_get(2)?,
        aggregate_type: row.try_get(3)?,
        aggregate_id: row.try_get(4)?,
        sequence: row.try_get::<i64, _>(5)?.cast_unsigned(),
        event_type: row.try_get(6)?,
        event_version: version.parse().map_err(|_| Error::Corrupt(format!("event_version {version:?}")))?,
        payload: json(row, 8)?,
        metadata: json(row, 9)?,
        occurred_at: row.try_get(10)?,
        recorded_at: row.try_get(11)?,
    })
}

/// The bytes of a `json` column exactly as stored, not parsed.
pub(crate) fn json(row: &PgRow, column: usize) -> Result<Bytes, Error> {
    let value = row.try_get_raw(column)?;
    if value.is_null() {
        return Err(Error::Corrupt(format!("column {column} is null")));
    }
    value.as_bytes().map(Bytes::copy_from_slice).map_err(|error| Error::Corrupt(error.to_string()))
}

/// Reads that change nothing may be done again: a pool whose server was restarted has broken connections, each of which
/// shows itself once.
pub(crate) async fn patiently<T, F>(mut read: impl FnMut() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let deadline = Instant::now() + PATIENCE;
    let mut pause = Duration::from_millis(2);
    loop {
        match read().await {
            Err(Error::Storage(error)) if judge(&error) != Failure::Lasting => {
                if Instant::now() + pause >= deadline {
                    return Err(Error::Unavailable(error.to_string()));
                }
                tracing::debug!(%error, "a read did not get through; trying again");
                sleep(pause).await;
                pause = (pause * 2).min(Duration::from_millis(200));
            }
            done => return done,
        }
    }
}

/// The events of one stream after a version.
pub(crate) async fn load(
    pool: &PgPool,
    tenant: TenantId,
    aggregate_type: &str,
    aggregate_id: &str,
    after: u64,
) -> Result<Vec<RecordedEvent>, Error> {
    // More than a bigint holds: no stream has that many.
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    patiently(|| async move {
        let rows = sqlx::query(LOAD)
            .bind(tenant.uuid())
            .bind(aggregate_type)
            .bind(aggregate_id)
            .bind(after)
            .fetch_all(pool)
            .await?;
        rows.iter().map(event).collect()
    })
    .await
}

/// The events of all tenants after a position.
pub(crate) async fn after(pool: &PgPool, position: Position, limit: u32) -> Result<EventSlice, Error> {
    patiently(|| async move {
        let mut page = Bounded::<RecordedEvent>::new(limit);
        while let Some(wanted) = page.wanted() {
            let after = page.last().unwrap_or(position);
            let rows = sqlx::query(AFTER).bind(after.as_i64()).bind(i64::from(wanted)).fetch(pool);
            page.take(wanted, rows).await?;
        }
        Ok(page.into_slice(position))
    })
    .await
}

/// The events of a partition's tenants after a position: those of the next `limit` times `partitions` positions, or of as many of them as
/// the budget of bytes lets through.
pub(crate) async fn partition(
    pool: &PgPool,
    after: Position,
    limit: u32,
    (number, partitions): (u32, u32),
) -> Result<EventSlice, Error> {
    if partitions <= 1 {
        return self::after(pool, after, limit).await;
    }
    let head = head(pool).await?;
    patiently(|| async move {
        let mut page = Bounded::<RecordedEvent>::new(limit);
        let mut last = after;
        while last < head
            && let Some(wanted) = page.wanted()
        {
            let to = Position(last.0 + u64::from(wanted) * u64::from(partitions)).min(head);
            let rows = sqlx::query(PARTITION)
                .bind(last.as_i64())
                .bind(to.as_i64())
                .bind(partitions.cast_signed())
                .bind(number.cast_signed())
                .fetch(pool);
            page.take(wanted, rows).await?;
            // Others' events are between ours: that these were few says nothing of what comes behind them.
            page.ended = false;
            last = if page.is_full() { page.last().unwrap_or(to) } else { to };
        }
        Ok(EventSlice { events: page.into_entries(), last, more: last < head })
    })
    .await
}

/// The events at these positions.
pub(crate) async fn at(pool: &PgPool, positions: &[Position]) -> Result<Vec<RecordedEvent>, Error> {
    let positions: Vec<i64> = positions.iter().map(|position| position.as_i64()).collect();
    let positions = &positions;
    patiently(|| async move {
        let rows = sqlx::query(AT).bind(positions).fetch_all(pool).await?;
        rows.iter().map(event).collect()
    })
    .await
}

/// A tenant's events at these positions, as they are stored, in no order: for whoever has a transaction of the role that may only read, in
/// which the tenant is set, and no [`EventStore`](crate::EventStore).
pub async fn stored_in(
    tables: &mut PgConnection,
    tenant: TenantId,
    positions: &[Position],
) -> Result<Vec<RecordedEvent>, Error> {
    let positions: Vec<i64> = positions.iter().map(|position| position.as_i64()).collect();
    let asked = sqlx::query(OF_TENANT_AT).bind(tenant.uuid()).bind(positions);
    asked.fetch_all(tables).await?.iter().map(event).collect()
}

/// Of each tenant, the last event of these types in the stream that bears the tenant's own id, up to a position; in order.
pub(crate) async fn last_of_tenants(
    pool: &PgPool,
    aggregate_type: &str,
    event_types: &[&str],
    upto: Position,
) -> Result<Vec<RecordedEvent>, Error> {
    patiently(|| async move {
        let asked = sqlx::query(LAST_OF_TENANTS).bind(aggregate_type).bind(event_types).bind(upto.as_i64());
        asked.fetch_all(pool).await?.iter().map(event).collect()
    })
    .await
}

/// Whether an event is at a position.
pub(crate) async fn has(pool: &PgPool, at: Position, event: Uuid) -> Result<bool, Error> {
    patiently(|| async move {
        let asked = sqlx::query_scalar("SELECT EXISTS (SELECT FROM log.events WHERE position = $1 AND event_id = $2)");
        Ok(asked.bind(at.as_i64()).bind(event).fetch_one(pool).await?)
    })
    .await
}

/// The position of the last event.
pub(crate) async fn head(pool: &PgPool) -> Result<Position, Error> {
    patiently(|| async move {
        let position = sqlx::query_scalar("SELECT position FROM log.head").fetch_one(pool).await?;
        Ok(Position::from_i64(position))
    })
    .await
}
