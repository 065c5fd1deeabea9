//! Backup of the coordinator's progress: which events of the service's log it has processed. Stored and restored together with the log.
//!
//! The instances themselves are events, so the log's backup contains them. Events that were not processed when the backup was taken start
//! sagas after the restore. Events that were processed are not processed again, except those that are parked as dead letters: these wait
//! again.

use deadletters::backup::StoredLetter;
use eventstore::backup::{Restore, Snapshot};
use kernel::{Position, TenantId};

use crate::letters::CONSUMERS;
use crate::skipped::{self, SkippedRange};

/// How far the coordinator had processed a service's events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SagaProgress {
    /// All events up to this position are processed, with the exceptions below.
    pub up_to: Position,
    /// Exceptions: per tenant, the events after the first and up to the second position, which were skipped while the tenant was closed.
    pub skipped: Vec<(TenantId, Position, Position)>,
    /// Exceptions: dead letters, whose events a saga could not evaluate.
    pub letters: Vec<StoredLetter>,
}

/// The progress at the moment of the snapshot. `None`: the service has no sagas, or its tables are of an earlier program.
///
/// # Errors
/// The tables don't answer.
pub async fn progress(snapshot: &mut Snapshot) -> Result<Option<SagaProgress>, sqlx::Error> {
    if !skipped::is_migrated(&mut *snapshot.connection()).await? {
        return Ok(None);
    }
    let up_to: i64 =
        sqlx::query_scalar("SELECT position FROM saga.checkpoint").fetch_one(snapshot.connection()).await?;
    let ranges = skipped::all(snapshot.connection()).await?;
    let skipped = ranges.into_iter().map(|SkippedRange { tenant, after, to }| (tenant, after, to)).collect();
    let letters = deadletters::backup::waiting(snapshot, CONSUMERS).await?;
    Ok(Some(SagaProgress { up_to: Position::from_i64(up_to), skipped, letters }))
}

/// Restores the progress, in the transaction that restores the log.
///
/// # Errors
/// The tables don't answer.
pub async fn restore(into: &mut Restore, progress: &SagaProgress) -> Result<(), sqlx::Error> {
    for (tenant, after, to) in &progress.skipped {
        // Events after `up_to` are processed anyway.
        skipped::hand_over(into.connection(), *tenant, *after, (*to).min(progress.up_to)).await?;
    }
    if progress.letters.is_empty() { Ok(()) } else { deadletters::backup::park_again(into, &progress.letters).await }
}
