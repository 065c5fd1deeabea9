//! States of long streams: kept beside the log, read together with the events after them.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use kernel::{RecordedEvent, TenantId};
use sqlx::Row;
use sqlx::postgres::{PgPool, PgRow};

use crate::Error;
use crate::read::{self, columns, patiently};

const RESUME: &str = concat!("SELECT ", columns!(), " FROM log.resume($1, $2, $3, $4)");

/// The state of a stream at one of its versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The stream's version that it shows: so many events made it.
    pub sequence: u64,
    /// When the last of them happened.
    pub occurred_at: DateTime<Utc>,
    /// JSON, as it was given.
    pub state: Bytes,
}

/// What a stream is loaded from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resumed {
    /// Its state at some version, if one of the wanted form is kept.
    pub snapshot: Option<Snapshot>,
    /// The events after that, in order; without a snapshot all of them.
    pub events: Vec<RecordedEvent>,
}

/// A stream's snapshot of this form and the events after it; one round trip.
pub(crate) async fn resume(
    pool: &PgPool,
    tenant: TenantId,
    aggregate_type: &str,
    aggregate_id: &str,
    form: &str,
) -> Result<Resumed, Error> {
    patiently(|| async move {
        let rows = sqlx::query(RESUME)
            .bind(tenant.uuid())
            .bind(aggregate_type)
            .bind(aggregate_id)
            .bind(form)
            .fetch_all(pool)
            .await?;
        let snapshot = rows.first().map(snapshot).transpose()?.flatten();
        let events = rows.iter().skip(usize::from(snapshot.is_some())).map(read::event).collect::<Result<_, _>>()?;
        Ok(Resumed { snapshot, events })
    })
    .await
}

/// A row that is no event but a snapshot.
fn snapshot(row: &PgRow) -> Result<Option<Snapshot>, Error> {
    if row.try_get::<Option<&str>, _>("event_type")?.is_some() {
        return Ok(None);
    }
    Ok(Some(Snapshot {
        sequence: row.try_get::<i64, _>("sequence")?.cast_unsigned(),
        occurred_at: row.try_get("occurred_at")?,
        state: read::json(row, 8)?,
    }))
}

/// Keeps a snapshot, unless a later one of the same form is there.
pub(crate) async fn keep(
    pool: &PgPool,
    tenant: TenantId,
    aggregate_type: &str,
    aggregate_id: &str,
    form: &str,
    snapshot: &Snapshot,
) -> Result<(), Error> {
    let state = std::str::from_utf8(&snapshot.state).map_err(|error| Error::Corrupt(error.to_string()))?;
    sqlx::query("SELECT log.keep_snapshot($1, $2, $3, $4, $5, $6, $7)")
        .bind(tenant.uuid())
        .bind(aggregate_type)
        .bind(aggregate_id)
        .bind(form)
        .bind(snapshot.sequence.cast_signed())
        .bind(kernel::to_micros(snapshot.occurred_at))
        .bind(state)
        .execute(pool)
        .await?;
    Ok(())
}
