//! Who applies a partition: this instance or another one.

use std::time::Duration;

use eventstore::{Database, LockClass};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection};
use tokio::time::Instant;

use super::{Active, Worker};
use crate::Error;
use crate::assignment::{self, Assignment, LOCK_NAME};
use crate::checkpoint::Checkpoint;
use crate::parking::Parked;
use crate::progress::PartitionProgress;

/// A partition beyond our share that nobody else took is kept for so long before it is left to others again.
const KEPT: Duration = Duration::from_secs(10);

impl Worker {
    /// Waits until the partition is nobody's, its tables are of our version, and it is for us to take; `at_once`: tries before it
    /// asks who has it.
    pub(super) async fn take_over(&self, at_once: bool) -> Result<Active, Error> {
        let mut assignments = self.assignments.clone();
        let mut said = false;
        // How often it was seen to be nobody's, one time after the other.
        let mut free = 0;
        if at_once && let Some(active) = self.take(None).await? {
            return Ok(active);
        }
        loop {
            let assignment = assignments.borrow_and_update().get(self.index).cloned();
            let taken =
                assignment.as_ref().and_then(|assignment| assignment.taken.get(self.partition.index())).copied();
            let why = match (&assignment, taken) {
                (None, _) => None,
                (Some(assignment), _) if assignment.version.is_none() => {
                    Some("its tables were never made: run `inopsio migrate`")
                }
                (Some(assignment), _) if assignment.version != Some(self.projection.version()) => {
                    Some("its tables are of another version: run `inopsio projection rebuild`")
                }
                (Some(assignment), Some(false)) if assignment.partitions() == self.partition.of() => {
                    free += 1;
                    // Beyond our share it is for others, unless they leave it.
                    if let Some(active) = self.take((free == 1).then_some(assignment)).await? {
                        return Ok(active);
                    }
                    None
                }
                _ => {
                    free = 0;
                    // How far it is, that instance shows.
                    self.progress.set(self.index, self.partition, PartitionProgress::default());
                    Some("another instance applies it")
                }
            };
            if let (Some(why), false) = (why, said) {
                tracing::info!(projection = self.projection.name(), partition = %self.partition, "standing by: {why}");
                said = true;
            }
            if assignments.changed().await.is_err() {
                // The watcher ends only with the process.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Takes the partition, unless another instance has it, or it is not what we know, or it would be more than our share of
    /// this assignment.
    async fn take(&self, shared: Option<&Assignment>) -> Result<Option<Active>, Error> {
        let _turn = self.held.turn.lock().await;
        if shared.is_some_and(|assignment| !self.held.has_room(assignment)) {
            return Ok(None);
        }
        let name = self.projection.name();
        let mut connection = apply_options(&self.database).connect().await?;
        let lock = format!(
            "SELECT pg_try_advisory_lock($1, hashtext({LOCK_NAME}))
             FROM (SELECT $2::text, $3::integer, $4::integer) AS p (projection, partition, partitions)"
        );
        let locked: bool = sqlx::query_scalar(&lock)
            .bind(LockClass::Projection.number())
            .bind(name)
            .bind(self.partition.number().cast_signed())
            .bind(self.partition.of().cast_signed())
            .fetch_one(&mut connection)
            .await?;
        let stored = if locked { Checkpoint::load(&mut connection, name).await? } else { Vec::new() };
        let checkpoint = stored
            .into_iter()
            .find(|stored| stored.partition == self.partition && stored.version == self.projection.version());
        let Some(checkpoint) = checkpoint else {
            connection.close().await?;
            return Ok(None);
        };
        let parked = Parked::load(&mut connection, name, self.partition, self.settings.backoff).await?;
        let position = checkpoint.position;
        let held_partition = self.held.take(self.partition);
        let kept = if shared.is_none() { Instant::now() + KEPT } else { Instant::now() };
        Ok(Some(Active {
            connection,
            checkpoint,
            parked,
            position,
            flush: None,
            _held: held_partition,
            kept,
            // The log first: what was appended before the feed began is only there.
            behind: true,
            heard: Instant::now(),
            waiting: Vec::new(),
        }))
    }

    /// Whether this instance applies more than its share, and this partition is what it has to leave.
    pub(super) fn is_beyond(&self) -> bool {
        let assignments = self.assignments.borrow();
        assignments.get(self.index).is_some_and(|assignment| {
            assignment.partitions() == self.partition.of() && self.held.is_beyond(self.partition, assignment)
        })
    }
}

/// Projections find rows by their keys. A plan that was made while a table was small, or has no statistics yet, must not become
/// a scan of all of it for every batch.
fn apply_options(database: &Database) -> PgConnectOptions {
    assignment::options(database).options([
        // A checkpoint that moves by itself, too: its sync would be one that appends wait behind.
        ("synchronous_commit", "off"),
        ("plan_cache_mode", "force_generic_plan"),
        ("enable_seqscan", "off"),
        ("enable_hashjoin", "off"),
        ("enable_mergejoin", "off"),
    ])
}
