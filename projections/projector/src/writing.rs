//! The one transaction in which a batch and its checkpoint are written.

use eventstore::Database;
use kernel::{Position, RecordedEvent};
use sqlx::{Connection, PgConnection, Postgres, Transaction};

use crate::applying::{self, Failure};
use crate::checkpoint::Checkpoint;
use crate::parking::{self, Parked, ParkedEvent};
use crate::{Projection, tables};

/// How writing a batch ended.
#[derive(Debug)]
pub(crate) enum Written {
    /// It is written, but for the events that had to be parked.
    Done { parked: Vec<ParkedEvent> },
    /// The checkpoint was not where we thought: another instance, or a rebuild. Nothing is written.
    Overtaken,
}

/// Writes a batch's events, and with them the checkpoint at `last`.
///
/// Both are in one transaction, and the checkpoint moves only from where we think it is: that is why an event takes effect
/// exactly once, whoever else applies at the same time and whenever we are killed.
pub(crate) async fn write(
    database: &Database,
    connection: &mut PgConnection,
    projection: &dyn Projection,
    wanted: &[&RecordedEvent],
    checkpoint: &Checkpoint,
    parked: &Parked,
    last: Position,
) -> Result<Written, sqlx::Error> {
    let schema = tables::live_schema(database);
    let name = projection.name();
    // The quick way, all at once, is for when nothing is wrong, which is nearly always.
    if !wanted.iter().any(|event| parked.holds(event)) {
        let mut transaction = begin(connection, &schema, wanted).await?;
        if !checkpoint.advance(&mut transaction, name, last).await? {
            return Ok(Written::Overtaken);
        }
        match applying::apply(projection, wanted, &mut transaction).await {
            Ok(()) => {
                transaction.commit().await?;
                return Ok(Written::Done { parked: Vec::new() });
            }
            Err(Failure::Database(error)) => return Err(error),
            Err(Failure::Events { .. }) => transaction.rollback().await?,
        }
    }
    let mut transaction = begin(connection, &schema, wanted).await?;
    if !checkpoint.advance(&mut transaction, name, last).await? {
        return Ok(Written::Overtaken);
    }
    let found = applying::apply_or_park(projection, wanted, parked, &mut transaction).await?;
    parking::store(&mut transaction, name, checkpoint.partition, &found, parked.backoff).await?;
    transaction.commit().await?;
    Ok(Written::Done { parked: found })
}

/// Begins a transaction for the tenants of these events, in one round trip.
///
/// It does not wait for the disk when it commits: rows and checkpoint are in the same transaction, so a crash of Postgres takes
/// both back, and the log, which did wait, gives the events again.
pub(crate) async fn begin<'c>(
    connection: &'c mut PgConnection,
    schema: &str,
    events: &[&RecordedEvent],
) -> Result<Transaction<'c, Postgres>, sqlx::Error> {
    let begin = format!("BEGIN; SET LOCAL synchronous_commit = off; {}", scope(schema, events));
    connection.begin_with(begin).await
}

/// What a transaction has to set before a projection applies these events.
pub(crate) fn scope(schema: &str, events: &[&RecordedEvent]) -> String {
    let mut tenants: Vec<_> = events.iter().map(|event| event.tenant).collect();
    tenants.sort_unstable();
    tenants.dedup();
    let tenants = tenants.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    // Schema and tenants are words and UUIDs, so nothing in them ends a string.
    format!("SET LOCAL search_path = {schema}; SET LOCAL app.tenant_ids = '{{{tenants}}}'")
}
