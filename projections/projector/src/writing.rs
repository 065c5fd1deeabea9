//! Writing a batch and its checkpoint in one transaction.

use eventstore::{Database, within};
use kernel::{Position, RecordedEvent};
use sqlx::{Connection, PgConnection, Postgres, Transaction};

use crate::applying::{self, Failure};
use crate::assignment::ANSWER;
use crate::checkpoint::Checkpoint;
use crate::parking::{self, Parked, ParkedEvent};
use crate::{Projection, tables};

/// The outcome of writing a batch.
#[derive(Debug)]
pub(crate) enum Written {
    /// The batch is written, except for the events that had to be parked.
    Done { parked: Vec<ParkedEvent> },
    /// The checkpoint is not at the expected position: another instance or a rebuild moved it. Nothing is written.
    CheckpointConflict,
}

/// Writes a batch's events, and with them the checkpoint at `last`.
///
/// Both are in one transaction, and the checkpoint is moved by compare-and-set. So each event takes effect exactly once, even when other
/// instances apply at the same time or the process is killed.
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
    // The fast path applies the whole batch at once. It serves nearly always; a failure falls through to the slow path below.
    if !wanted.iter().any(|event| parked.holds(event)) {
        let mut transaction = begin(connection, &schema, wanted).await?;
        if !checkpoint.advance(&mut transaction, name, last).await? {
            return Ok(Written::CheckpointConflict);
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
        return Ok(Written::CheckpointConflict);
    }
    let found = applying::apply_or_park(projection, wanted, parked, &mut transaction).await?;
    parking::store(&mut transaction, name, checkpoint.partition, &found, parked.backoff).await?;
    transaction.commit().await?;
    Ok(Written::Done { parked: found })
}

/// Begins a transaction for the tenants of these events, in one round trip.
///
/// Its commit does not wait for the disk (`synchronous_commit = off`). Rows and checkpoint are in the same transaction, so a crash of
/// Postgres loses both, and the events are applied again from the log, whose commits do wait.
pub(crate) async fn begin<'c>(
    connection: &'c mut PgConnection,
    schema: &str,
    events: &[&RecordedEvent],
) -> Result<Transaction<'c, Postgres>, sqlx::Error> {
    let begin = format!("BEGIN; SET LOCAL synchronous_commit = off; {}", scope(schema, events));
    within(ANSWER, connection.begin_with(begin)).await
}

/// The statements that set the search path and the tenants of these events in a transaction, before a projection applies them.
pub(crate) fn scope(schema: &str, events: &[&RecordedEvent]) -> String {
    let mut tenants: Vec<_> = events.iter().map(|event| event.tenant).collect();
    tenants.sort_unstable();
    tenants.dedup();
    let tenants = tenants.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    // The schema is a plain word and the tenants are UUIDs, so nothing in them needs escaping.
    format!("SET LOCAL search_path = {schema}; SET LOCAL app.tenant_ids = '{{{tenants}}}'")
}
