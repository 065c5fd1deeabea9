//! Retrying parked events in the order of their aggregate, with operators' decisions (edits, discards) applied.

use deadletters::{Decisions, Outcome, Part, Settled, Taken};
use eventstore::{Database, EventStore};
use kernel::{Position, RecordedEvent, personal};
use sqlx::{Connection, PgConnection};

use crate::applying;
use crate::checkpoint::Checkpoint;
use crate::parking::{self, Parked};
use crate::{Error, Projection, tables, writing};

/// At most this many events of an aggregate are applied in one transaction. New events are applied between two such transactions.
const MAX_EVENTS_TOGETHER: u32 = 500;

/// The outcome of an attempt.
#[derive(Debug)]
pub(crate) enum Retried {
    /// Nothing was due.
    Nothing,
    /// The checkpoint is not at the expected position: another instance or a rebuild moved it. Nothing is written.
    CheckpointConflict,
    /// A dead letter was tried.
    Tried { taken: Taken, settled: Settled },
}

/// Tries the dead letter that is due first, with the events of its aggregate that wait behind it, in one transaction. The transaction also
/// moves the checkpoint to `at`, up to which all other events are applied; this fails if another instance took the partition over.
pub(crate) async fn retry(
    database: &Database,
    store: &EventStore,
    connection: &mut PgConnection,
    projection: &dyn Projection,
    checkpoint: &Checkpoint,
    at: Position,
    parked: &Parked,
) -> Result<Retried, Error> {
    let (name, consumer) = (projection.name(), parking::consumer(projection.name()));
    let mut transaction = connection.begin_with("BEGIN; SET LOCAL synchronous_commit = off").await?;
    if !checkpoint.advance(&mut transaction, name, at).await? {
        return Ok(Retried::CheckpointConflict);
    }
    let Some(taken) =
        deadletters::take(&mut transaction, &consumer, parking::share(checkpoint.partition), MAX_EVENTS_TOGETHER)
            .await?
    else {
        transaction.commit().await?;
        return Ok(Retried::Nothing);
    };
    let (events, missing) = taken.found(store.events_at(&taken.positions).await?);
    let decisions = taken.decisions.opened(store, &events).await?;
    let failed = attempt(projection, &tables::live_schema(database), events, &decisions, &mut transaction).await?;
    let outcome = Outcome { failed: failed.or(missing) };
    let settled = deadletters::settle(&mut transaction, &consumer, &taken, outcome, parked.backoff).await?;
    parking::count(&mut transaction, name, checkpoint.partition, -(settled.events as i64), -i64::from(settled.drained))
        .await?;
    transaction.commit().await?;
    Ok(Retried::Tried { taken, settled })
}

/// Applies events of one aggregate, in order, up to the first that fails. Returns its position and the reasons. The events before it stay
/// applied in the transaction.
pub(crate) async fn attempt(
    projection: &dyn Projection,
    schema: &str,
    mut events: Vec<RecordedEvent>,
    decisions: &Decisions,
    transaction: &mut PgConnection,
) -> Result<Option<(Position, Vec<String>)>, sqlx::Error> {
    events.retain(|event| projection.wants(&event.event_type));
    if events.is_empty() {
        return Ok(None);
    }
    let all: Vec<&RecordedEvent> = events.iter().collect();
    sqlx::Executor::execute(&mut *transaction, writing::scope(schema, &all).as_str()).await?;
    // Erasures first: a program from before 2026-12 may have parked them without removing the personal data.
    let first = events[0].position;
    let erasures: Vec<RecordedEvent> =
        events.iter().filter(|event| personal::erases(&event.event_type)).cloned().collect();
    if let Some(errors) = forget(projection, &erasures, transaction).await? {
        return Ok(Some((first, errors)));
    }
    // The first event is applied alone. Most often it fails again, and then no work is wasted on the others.
    let rest = events.split_off(1);
    for part in decisions.parts(events).into_iter().chain(decisions.parts(rest)) {
        let failed = match part {
            Part::Events(run) => apply(projection, &run, transaction).await?,
            Part::Discarded(event) => applying::skip_within(projection, &event, transaction).await?,
        };
        if failed.is_some() {
            // An edited event may have brought personal data back.
            forget(projection, &erasures, transaction).await?;
            return Ok(failed);
        }
    }
    Ok(None)
}

/// Removes the personal data that these events erase, within a savepoint. Returns the reasons if that fails.
async fn forget(
    projection: &dyn Projection,
    erasures: &[RecordedEvent],
    transaction: &mut PgConnection,
) -> Result<Option<Vec<String>>, sqlx::Error> {
    if erasures.is_empty() {
        return Ok(None);
    }
    let mut savepoint = transaction.begin().await?;
    let forgotten = applying::forget(projection, &erasures.iter().collect::<Vec<_>>(), &mut savepoint).await;
    applying::settle(savepoint, forgotten).await
}

/// Applies events of one aggregate within a savepoint. If they fail together, applies those before the one that fails, and returns its
/// position and the reasons.
async fn apply(
    projection: &dyn Projection,
    run: &[RecordedEvent],
    transaction: &mut PgConnection,
) -> Result<Option<(Position, Vec<String>)>, sqlx::Error> {
    let run: Vec<&RecordedEvent> = run.iter().collect();
    let mut savepoint = transaction.begin().await?;
    let applied = applying::apply(projection, &run, &mut savepoint).await;
    let Some(errors) = applying::settle(savepoint, applied).await? else { return Ok(None) };
    if let [only] = run[..] {
        return Ok(Some((only.position, errors)));
    }
    let found = applying::apply_or_park(projection, &run, &Parked::default(), transaction).await?;
    // All are of one aggregate, so every event after the first failure is parked too.
    Ok(found.into_iter().next().map(|first| (first.position, first.errors.unwrap_or_default())))
}
