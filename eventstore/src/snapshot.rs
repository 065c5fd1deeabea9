//! Snapshots: states of long streams, stored next to the log and loaded together with the events after them.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use kernel::{RecordedEvent, TenantId};
use sqlx::Row;
use sqlx::postgres::{PgPool, PgRow};

use crate::Error;
use crate::read::{self, columns, with_retries};

const RESUME: &str = concat!("SELECT ", columns!(), " FROM log.resume($1, $2, $3, $4)");

/// The state of a stream at one of its versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The version of the stream: the number of events that are applied in the state.
    pub sequence: u64,
    /// When the last of these events happened.
    pub occurred_at: DateTime<Utc>,
    /// The state, JSON.
    pub state: Bytes,
}

/// The result of loading a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resumed {
    /// Its snapshot, if there is one with the wanted form.
    pub snapshot: Option<Snapshot>,
    /// The events after the snapshot, in order; all events if there is none.
    pub events: Vec<RecordedEvent>,
}

/// Loads a stream's snapshot with this form and the events after it, in one round trip.
pub(crate) async fn resume(
    pool: &PgPool,
    tenant: TenantId,
    aggregate_type: &str,
    aggregate_id: &str,
    form: &str,
) -> Result<Resumed, Error> {
    with_retries(|| async move {
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

/// Reads the row if it is a snapshot; `None` if it is an event.
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

/// Stores a snapshot, unless there is a later one with the same form.
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
