//! Acquiring a partition: waiting until no other instance holds its lock, within the share of this instance.

use std::time::Duration;

use eventstore::{Database, LockClass, within};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection};
use tokio::time::Instant;

use super::{Active, Worker};
use crate::Error;
use crate::assignment::{self, ANSWER, Assignment, LOCK_NAME};
use crate::checkpoint::Checkpoint;
use crate::parking::Parked;
use crate::progress::PartitionProgress;

/// A partition beyond our share that no other instance took is kept for this long, then offered to the others again.
const EXTRA_PARTITION_HOLD: Duration = Duration::from_secs(10);

impl Worker {
    /// Waits until the partition is free, its tables have the program's version, and it is within our share or left by the others; then
    /// locks it. With `at_once` the first attempt is made before the assignments are looked at.
    pub(super) async fn acquire(&self, at_once: bool) -> Result<Active, Error> {
        let mut assignments = self.assignments.clone();
        let mut said = false;
        // How many times in a row the partition was seen free.
        let mut free = 0;
        if at_once && let Some(active) = self.try_acquire(None).await? {
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
                    // Beyond our share, others may take it first: we take it only when it is still free the second time.
                    if let Some(active) = self.try_acquire((free == 1).then_some(assignment)).await? {
                        return Ok(active);
                    }
                    None
                }
                _ => {
                    free = 0;
                    // The instance that applies it publishes the position.
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

    /// Tries to lock the partition, without waiting. `None` when another instance has it, when it has no checkpoint of this division and
    /// version, or when `shared` is given and the partition would exceed our share of that assignment.
    async fn try_acquire(&self, shared: Option<&Assignment>) -> Result<Option<Active>, Error> {
        let _turn = self.held.turn.lock().await;
        if shared.is_some_and(|assignment| !self.held.has_room(assignment)) {
            return Ok(None);
        }
        let name = self.projection.name();
        // Others wait for our turn.
        let mut connection = within(ANSWER, apply_options(&self.database).connect()).await?;
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
        let keep_until = if shared.is_none() { Instant::now() + EXTRA_PARTITION_HOLD } else { Instant::now() };
        Ok(Some(Active {
            connection,
            checkpoint,
            parked,
            position,
            flush_at: None,
            _held: held_partition,
            keep_until,
            // The log is read first: events from before the feed began are only there.
            behind: true,
            last_activity: Instant::now(),
            queued: Vec::new(),
        }))
    }

    /// Whether this instance holds more than its share, and this partition is one of those to give up.
    pub(super) fn is_over_share(&self) -> bool {
        let assignments = self.assignments.borrow();
        assignments.get(self.index).is_some_and(|assignment| {
            assignment.partitions() == self.partition.of() && self.held.is_over_share(self.partition, assignment)
        })
    }
}

/// The connection options of a worker. Projections find rows by their keys, so sequential scans and hash and merge joins are off: a plan
/// that was made while a table was small, or had no statistics yet, must not scan the whole table for every batch.
fn apply_options(database: &Database) -> PgConnectOptions {
    assignment::options(database).options([
        // Also for a checkpoint that is stored without rows: appends would wait behind its sync to disk.
        ("synchronous_commit", "off"),
        ("plan_cache_mode", "force_generic_plan"),
        ("enable_seqscan", "off"),
        ("enable_hashjoin", "off"),
        ("enable_mergejoin", "off"),
    ])
}
