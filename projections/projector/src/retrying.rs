//! Trying parked events again, as people's decisions say, in the order of their aggregate.

use deadletters::{Decisions, Outcome, Part, Settled, Taken};
use eventstore::{Database, EventStore};
use kernel::{Position, RecordedEvent, personal};
use sqlx::{Connection, PgConnection};

use crate::applying;
use crate::checkpoint::Checkpoint;
use crate::parking::{self, Parked};
use crate::{Error, Projection, tables, writing};

/// So many events of an aggregate are applied in one transaction; what comes meanwhile is applied in between.
const TOGETHER: u32 = 500;

/// What came of an attempt.
#[derive(Debug)]
pub(crate) enum Retried {
    /// Nothing was due.
    Nothing,
    /// The checkpoint was not where we thought: another instance, or a rebuild. Nothing is written.
    CheckpointConflict,
    /// A letter was tried.
    Tried { taken: Taken, settled: Settled },
}

/// Tries the letter that is due first, with what waits behind it, in one transaction that also makes sure that the projection is
/// still ours: the checkpoint moves to `at`, up to which everything else is applied.
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
        deadletters::take(&mut transaction, &consumer, parking::share(checkpoint.partition), TOGETHER).await?
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

/// Applies events of one aggregate, in order, up to the first that fails, which is answered with why. What was applied before it
/// stays in the transaction.
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
    // A program of before 2026-12 may have let it wait.
    let first = events[0].position;
    let erasures: Vec<RecordedEvent> =
        events.iter().filter(|event| personal::erases(&event.event_type)).cloned().collect();
    if let Some(errors) = forget(projection, &erasures, transaction).await? {
        return Ok(Some((first, errors)));
    }
    // The first one alone: most often it fails again, and then nothing else was done in vain.
    let rest = events.split_off(1);
    for part in decisions.parts(events).into_iter().chain(decisions.parts(rest)) {
        let failed = match part {
            Part::Events(run) => apply(projection, &run, transaction).await?,
            Part::Discarded(event) => applying::skip_within(projection, &event, transaction).await?,
        };
        if failed.is_some() {
            // What somebody edited may have told again who it is.
            forget(projection, &erasures, transaction).await?;
            return Ok(failed);
        }
    }
    Ok(None)
}

/// Forgets whoever these events erase; if that fails, why.
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
    // They are of one aggregate, so the first that failed holds all that follow it.
    Ok(found.into_iter().next().map(|first| (first.position, first.errors.unwrap_or_default())))
}
