//! Queries that read events: of one stream, or of all tenants by position.

use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use kernel::{Backoff, Position, RecordedEvent, TenantId};
use sqlx::postgres::{PgPool, PgRow};
use sqlx::{PgConnection, PgExecutor, Row, ValueRef};
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use crate::Error;
use crate::bounded::Bounded;
use crate::database::begin_as;
use crate::failure::{Failure, classify};

/// The columns that [`event`] reads, in its order.
macro_rules! columns {
    () => {
        "tenant_id, position, event_id, aggregate_type, aggregate_id, sequence, event_type, event_version, payload, \
         metadata, occurred_at, recorded_at"
    };
}
pub(crate) use columns;

/// The row `h` of the log's head, with its `position`, for the clause `FROM` of a statement. It is taken from the end of its index, as
/// `log.append` does, because vacuum has to keep all former versions of the row while a backup is read.
#[macro_export]
macro_rules! log_head {
    () => {
        "(SELECT position FROM log.head ORDER BY one DESC LIMIT 1) h"
    };
}

/// The number of `columns!()`: the index of a column that a statement selects after them.
pub(crate) const COLUMNS: usize = 12;

const END: &str =
    concat!("SELECT h.position, e.event_id FROM ", log_head!(), " LEFT JOIN log.events e ON e.position = h.position");

const LOAD: &str = concat!("SELECT ", columns!(), " FROM log.load($1, $2, $3, $4)");

const BEGAN: &str = "SELECT occurred_at FROM log.events
     WHERE tenant_id = $1 AND aggregate_type = $2 AND aggregate_id = $3 AND sequence = 1";

const AFTER: &str = concat!("SELECT ", columns!(), " FROM log.events WHERE position > $1 ORDER BY position LIMIT $2");

/// Selects a partition as [`partition_of`] does. Positions have no gaps, so a range of positions bounds the work, however few of its events
/// are in the partition.
const PARTITION: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM log.events WHERE position > $1 AND position <= $2 AND get_byte(uuid_send(tenant_id), 15) & ($3 - 1) = $4
      ORDER BY position"
);

/// Events of a range of the log. It has at most as many events as were requested (of a partition: those of at most `limit` × `partitions`
/// positions), and ends with the one that reaches [`PAGE_BYTES`](crate::PAGE_BYTES). So it may have fewer events than were requested although
/// there are more: `more` says whether.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventSlice {
    /// The requested events, in order.
    pub events: Vec<RecordedEvent>,
    /// The end of the range: there are no other matching events up to this position.
    pub last: Position,
    /// Whether there may be more events after it; false if the end of the log was reached.
    pub more: bool,
}

/// The partition of a tenant if tenants are divided into this many partitions: a power of two, at most 256. It is taken from the last bits
/// of the id, which are random.
pub fn partition_of(tenant: Uuid, partitions: u32) -> u32 {
    let [.., last] = *tenant.as_bytes();
    u32::from(last) & partitions.saturating_sub(1)
}

const AT: &str = concat!("SELECT ", columns!(), " FROM log.events WHERE position = ANY($1) ORDER BY position");

const OF_TENANT_AT: &str =
    concat!("SELECT ", columns!(), " FROM log.events WHERE tenant_id = $1 AND position = ANY($2)");

/// A loose index scan of the primary key: it finds each tenant from the one before, and the last event of the tenant's own stream, so the
/// cost does not depend on the number of events.
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

/// How long a read is retried after its connection was lost.
const PATIENCE: Duration = Duration::from_secs(3);

/// The pauses between these attempts.
const BACKOFF: Backoff = Backoff { first: Duration::from_millis(2), longest: Duration::from_millis(200) };

/// How long those who follow the log wait for a page of it. A server that is gone without closing the connection never answers, and
/// nobody else ends such a read.
pub(crate) const SILENCE: Duration = Duration::from_secs(30);

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

/// Retries a read-only query after transient errors: after a restart of the server, each connection in the pool is broken and fails once.
pub(crate) async fn with_retries<T, F>(mut read: impl FnMut() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let deadline = Instant::now() + PATIENCE;
    let mut pause = BACKOFF.first;
    loop {
        match read().await {
            Err(Error::Storage(error)) if classify(&error) != Failure::Permanent => {
                if Instant::now() + pause >= deadline {
                    return Err(Error::Unavailable(error.to_string()));
                }
                tracing::debug!(%error, "a read did not get through; trying again");
                sleep(pause).await;
                pause = BACKOFF.after(pause);
            }
            done => return done,
        }
    }
}

/// As [`with_retries`], for short reads by which the log is followed: no request's time limit ends them.
async fn while_following<T, F>(read: impl FnMut() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    match timeout(SILENCE, with_retries(read)).await {
        Ok(read) => read,
        Err(_) => Err(Error::Unavailable(format!("no answer within {} s", SILENCE.as_secs()))),
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
    // No stream has more events than a bigint holds.
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    with_retries(|| async move {
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

/// When the first event of a stream happened. `None` if there is no such stream.
pub(crate) async fn began_at(
    pool: &PgPool,
    tenant: TenantId,
    aggregate_type: &str,
    aggregate_id: &str,
) -> Result<Option<DateTime<Utc>>, Error> {
    with_retries(|| async move {
        let mut transaction = begin_as(pool, tenant).await?;
        let began = sqlx::query_scalar(BEGAN).bind(tenant.uuid()).bind(aggregate_type).bind(aggregate_id);
        Ok(began.fetch_optional(&mut *transaction).await?)
    })
    .await
}

/// The events of all tenants after a position.
pub(crate) async fn after(pool: &PgPool, position: Position, limit: u32) -> Result<EventSlice, Error> {
    while_following(|| async move {
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

/// The events of a partition's tenants after a position. Covers the next `limit` × `partitions` positions, or as many of them as the budget
/// of bytes allows.
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
    while_following(|| async move {
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
            // Events of other partitions are between ours: a short page does not mean that there are no more.
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
    with_retries(|| async move {
        let rows = sqlx::query(AT).bind(positions).fetch_all(pool).await?;
        rows.iter().map(event).collect()
    })
    .await
}

/// A tenant's events at these positions, as stored, in no particular order. For callers without an [`EventStore`](crate::EventStore), with
/// a transaction of the read role in which the tenant is set.
pub async fn stored_in(
    tables: &mut PgConnection,
    tenant: TenantId,
    positions: &[Position],
) -> Result<Vec<RecordedEvent>, Error> {
    let positions: Vec<i64> = positions.iter().map(|position| position.as_i64()).collect();
    let asked = sqlx::query(OF_TENANT_AT).bind(tenant.uuid()).bind(positions);
    asked.fetch_all(tables).await?.iter().map(event).collect()
}

/// For each tenant, the last event of these types in the stream that has the tenant's own id, up to a position; ordered by position.
pub(crate) async fn last_of_tenants(
    pool: &PgPool,
    aggregate_type: &str,
    event_types: &[&str],
    upto: Position,
) -> Result<Vec<RecordedEvent>, Error> {
    with_retries(|| async move {
        let asked = sqlx::query(LAST_OF_TENANTS).bind(aggregate_type).bind(event_types).bind(upto.as_i64());
        asked.fetch_all(pool).await?.iter().map(event).collect()
    })
    .await
}

/// Whether the log has this event at this position.
pub(crate) async fn has(pool: &PgPool, at: Position, event: Uuid) -> Result<bool, Error> {
    while_following(|| async move {
        let asked = sqlx::query_scalar("SELECT EXISTS (SELECT FROM log.events WHERE position = $1 AND event_id = $2)");
        Ok(asked.bind(at.as_i64()).bind(event).fetch_one(pool).await?)
    })
    .await
}

/// The position and the id of the last event, if there is one. They are read at once: between two reads a server could take over that lacks
/// that event, and whoever follows the log from there would not notice.
pub(crate) async fn end(pool: &PgPool) -> Result<(Position, Option<Uuid>), Error> {
    while_following(|| async move {
        let (position, event): (i64, Option<Uuid>) = sqlx::query_as(END).fetch_one(pool).await?;
        Ok((Position::from_i64(position), event))
    })
    .await
}

/// The position of the last event, for those who follow the log.
pub(crate) async fn head(pool: &PgPool) -> Result<Position, Error> {
    while_following(|| async move { Ok(head_in(pool).await?) }).await
}

/// The position of the log's last event in a service's database, as the connection's transaction sees it.
pub async fn head_in(tables: impl PgExecutor<'_>) -> Result<Position, sqlx::Error> {
    let position = sqlx::query_scalar(concat!("SELECT h.position FROM ", log_head!())).fetch_one(tables).await?;
    Ok(Position::from_i64(position))
}
