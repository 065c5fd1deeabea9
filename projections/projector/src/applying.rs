//! Applying events within a transaction, and finding the event that causes a failure.

use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use kernel::{Position, RecordedEvent, personal};
use sqlx::{Connection, PgConnection, Postgres, Transaction};

use crate::parking::{Parked, ParkedEvent};
use crate::{ApplyError, Projection};

/// Why a projection did not apply its events.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The database failed for a reason that has nothing to do with the events: try again.
    Database(sqlx::Error),
    /// An event caused the failure: its position, if the projection knows it, and the chain of reasons, the outermost first.
    Events { position: Option<Position>, errors: Vec<String> },
}

/// Applies events together. After a failure the caller has to roll the transaction back, or its savepoint if it made one.
pub(crate) async fn apply(
    projection: &dyn Projection,
    events: &[&RecordedEvent],
    connection: &mut PgConnection,
) -> Result<(), Failure> {
    guarded(async { projection.apply(events, connection).await }).await
}

/// Skips a discarded event, within a savepoint. Returns its position and the reasons if that fails.
pub(crate) async fn skip_within(
    projection: &dyn Projection,
    event: &RecordedEvent,
    connection: &mut PgConnection,
) -> Result<Option<(Position, Vec<String>)>, sqlx::Error> {
    let mut savepoint = connection.begin().await?;
    let skipped = guarded(async { projection.skip(event, &mut savepoint).await }).await;
    Ok(settle(savepoint, skipped).await?.map(|errors| (event.position, errors)))
}

/// Ends a savepoint according to the outcome: commits it, or rolls it back and returns the reasons if an event caused a failure.
pub(crate) async fn settle(
    savepoint: Transaction<'_, Postgres>,
    outcome: Result<(), Failure>,
) -> Result<Option<Vec<String>>, sqlx::Error> {
    match outcome {
        Ok(()) => savepoint.commit().await.map(|()| None),
        Err(Failure::Database(error)) => Err(error),
        Err(Failure::Events { errors, .. }) => savepoint.rollback().await.map(|()| Some(errors)),
    }
}

/// Lets a projection remove the personal data that these events erase, although the events can't be applied yet: an erasure must not wait.
pub(crate) async fn forget(
    projection: &dyn Projection,
    events: &[&RecordedEvent],
    connection: &mut PgConnection,
) -> Result<(), Failure> {
    for event in events.iter().filter(|event| personal::erases(&event.event_type)) {
        guarded(async { projection.forget(event, connection).await }).await?;
    }
    Ok(())
}

/// Calls [`forget`] for events that are about to be parked. If it fails, the batch fails, and so the projection stops: an erasure must not
/// be skipped.
async fn forget_or_stop(
    projection: &dyn Projection,
    events: &[&RecordedEvent],
    connection: &mut PgConnection,
) -> Result<(), sqlx::Error> {
    match forget(projection, events, connection).await {
        Ok(()) => Ok(()),
        Err(Failure::Database(error)) => Err(error),
        Err(Failure::Events { errors, .. }) => {
            let why = format!("whoever is erased can't be forgotten: {}", errors.join(": "));
            Err(sqlx::Error::Protocol(why))
        }
    }
}

/// Runs a call of a projection and classifies its error. A panic counts as a failure of the events, so that it does not stop the
/// projection.
async fn guarded(work: impl Future<Output = Result<(), ApplyError>>) -> Result<(), Failure> {
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(ApplyError::Poison { position, reason })) => {
            Err(Failure::Events { position: Some(position), errors: vec![reason] })
        }
        Ok(Err(ApplyError::Storage(error))) if is_about_events(&error) => {
            Err(Failure::Events { position: None, errors: deadletters::chain(&error) })
        }
        Ok(Err(ApplyError::Storage(error))) => Err(Failure::Database(error)),
        Err(panic) => {
            let said = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let said = said.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
            Err(Failure::Events { position: None, errors: vec![format!("the projection panicked: {said}")] })
        }
    }
}

/// Applies the events that can be applied, in order, and returns those that have to be parked: the events that fail, each found by
/// bisection, and all later events of their aggregates. Personal data that the parked events erase is removed all the same. Slower than
/// [`apply`], because each attempt has a savepoint.
pub(crate) async fn apply_or_park(
    projection: &dyn Projection,
    events: &[&RecordedEvent],
    parked: &Parked,
    connection: &mut PgConnection,
) -> Result<Vec<ParkedEvent>, sqlx::Error> {
    let mut held = parked.clone();
    let mut found: Vec<ParkedEvent> = Vec::new();
    // A stack of the runs of events that are still to be applied; the next one is on top.
    let mut runs: Vec<Vec<&RecordedEvent>> = vec![events.to_vec()];
    while let Some(run) = runs.pop() {
        let (waiting, run): (Vec<_>, Vec<_>) = run.into_iter().partition(|event| held.holds(event));
        forget_or_stop(projection, &waiting, connection).await?;
        found.extend(waiting.into_iter().map(|event| ParkedEvent::new(event, None)));
        let Some(first) = run.first() else { continue };
        let mut savepoint = connection.begin().await?;
        let failure = apply(projection, &run, &mut savepoint).await;
        match failure {
            Ok(()) => savepoint.commit().await?,
            Err(Failure::Database(error)) => return Err(error),
            Err(Failure::Events { errors, .. }) if run.len() == 1 => {
                savepoint.rollback().await?;
                forget_or_stop(projection, &run, connection).await?;
                // Without the reason, which may quote personal data of the event. It is stored with the dead letter.
                tracing::error!(
                    projection = projection.name(), position = %first.position, tenant = %first.tenant,
                    aggregate_type = first.aggregate_type, aggregate_id = first.aggregate_id,
                    event_type = first.event_type, event_version = first.event_version,
                    "an event can't be applied; it is parked with the later ones of its aggregate"
                );
                let event = ParkedEvent::new(first, Some(errors));
                held.add(std::slice::from_ref(&event));
                found.push(event);
            }
            Err(Failure::Events { position, .. }) => {
                savepoint.rollback().await?;
                let culprit = position.and_then(|position| run.iter().position(|event| event.position == position));
                runs.extend(split(&run, culprit));
            }
        }
    }
    found.sort_by_key(|event| event.position);
    Ok(found)
}

/// Splits a run of events so that the culprit is alone, or in halves when the culprit is unknown. The parts are in reverse order, so that
/// the first one is on top of the stack.
fn split<'a>(run: &[&'a RecordedEvent], culprit: Option<usize>) -> Vec<Vec<&'a RecordedEvent>> {
    let parts = match culprit {
        Some(at) => [&run[at + 1..], &run[at..=at], &run[..at]],
        None => [&run[run.len() / 2..], &run[..run.len() / 2], &[]],
    };
    parts.into_iter().filter(|part| !part.is_empty()).map(<[_]>::to_vec).collect()
}

/// Whether an error of the database is about the values that were written. Errors about connections, locks, disk space, or an unexpected
/// schema or missing grants are about the database: parking every event would not help.
fn is_about_events(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(error) => {
            let code = error.code().unwrap_or_default();
            let class = code.get(..2).unwrap_or_default();
            !matches!(class, "08" | "25" | "28" | "40" | "53" | "55" | "57" | "58" | "XX")
                && !matches!(&*code, "42501" | "42P01" | "42703" | "3F000" | "3D000")
        }
        // A value was written or read as another type than the column's. This may depend on the value.
        sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::Decode(_)
        | sqlx::Error::Encode(_)
        | sqlx::Error::RowNotFound => true,
        _ => false,
    }
}
