//! The worker of one partition of a projection.
//!
//! It acquires the partition by an advisory lock (`takeover.rs`), reads the log until it has caught up, then applies the batches of the
//! feed. Whenever the feed has a gap or is silent for long, it reads the log again. Each batch and its checkpoint are written in one
//! transaction (`writing.rs`), so that each event takes effect once.

#[cfg(test)]
mod giving_up;
mod takeover;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use eventstore::{Database, EventSlice, EventStore, within};
use futures::FutureExt;
use kernel::{Backoff, Position, RecordedEvent, TenantId};
use metrics::Label;
use sqlx::{Connection, PgConnection};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::assignment::{ANSWER, Assignments};
use crate::batches::{contiguous_after, majority_tenant};
use crate::checkpoint::Checkpoint;
use crate::feed::Batch;
use crate::held_partitions::{HeldPartition, HeldPartitions};
use crate::parking::{self, Parked};
use crate::partition::Partition;
use crate::progress::{PartitionProgress, ProgressWriter};
use crate::retrying::{self, Retried};
use crate::writing::{self, Written};
use crate::{Error, Projection, Settings, task};

/// Queued batches are applied in one transaction up to this many events. The limit keeps the delay short until queries see them.
const MAX_EVENTS_TOGETHER: usize = 1_000;

/// How long storing a checkpoint may take, which may have to wait for a rebuild. Then the server is taken for gone, and we connect again.
const STORED: Duration = Duration::from_secs(30);

/// The pause before the partition is acquired again. It doubles while that fails.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// Applies one partition whenever this instance holds it.
pub(crate) struct Worker {
    pub(crate) database: Database,
    pub(crate) store: EventStore,
    pub(crate) projection: Arc<dyn Projection>,
    /// The projection's index in the progress and in the assignments.
    pub(crate) index: usize,
    pub(crate) partition: Partition,
    pub(crate) held: HeldPartitions,
    pub(crate) assignments: watch::Receiver<Assignments>,
    pub(crate) progress: ProgressWriter,
    pub(crate) feed: broadcast::Receiver<Batch>,
    /// Changes when an operator has decided about a dead letter (retry, edit or discard).
    pub(crate) decided: watch::Receiver<()>,
    pub(crate) settings: Settings,
}

/// The state of a worker while it holds its partition.
struct Active {
    /// The connection that holds the advisory lock, and on which everything is written.
    connection: PgConnection,
    checkpoint: Checkpoint,
    parked: Parked,
    /// The last position that is visible to queries. It is after the stored checkpoint when the events in between change nothing in this
    /// projection.
    position: Position,
    /// When to store the checkpoint even if there are no rows to write with it.
    flush_at: Option<Instant>,
    /// Counts the partition among those that this instance holds, until it is dropped.
    _held: HeldPartition,
    /// Until then the partition is kept, even if this instance holds more than its share.
    keep_until: Instant,
    /// Whether the log may have events that the feed did not deliver. If so, the log is read next.
    behind: bool,
    /// When the feed last delivered new events, or the log was last read.
    last_activity: Instant,
    /// Batches of the feed that are not applied yet.
    queued: Vec<Batch>,
}

/// Why a worker stopped applying.
enum Stop {
    Shutdown,
    /// Another instance, or a rebuild, moved the checkpoint: load it again.
    CheckpointConflict,
    /// This instance holds more partitions than its share: leave this one to another instance.
    OverShare,
}

/// The result of applying batches of the feed.
struct AppliedBatches {
    /// False when the batches have a gap. The events in the gap have to be read from the log.
    contiguous: bool,
    /// The tenant that has more than half of the applied events, if one has.
    majority: Option<TenantId>,
}

impl Worker {
    /// Acquires the partition and applies its events, again and again until `shutdown`, with exponential backoff after errors.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        let backoff = Backoff { first: FIRST_PAUSE, longest: self.settings.max_backoff };
        let mut pause = backoff.first;
        // A partition that we held until a moment ago, and did not leave to others, is most likely still free.
        let mut held_before = false;
        while !shutdown.is_cancelled() {
            let began = Instant::now();
            // A panic here is a bug; it must not stop the projection for good.
            let ended = AssertUnwindSafe(self.acquire_and_apply(&shutdown, &mut held_before)).catch_unwind().await;
            held_before &= !matches!(ended, Ok(Ok(Stop::OverShare)));
            self.progress.stop(self.index, self.partition, !matches!(ended, Ok(Ok(_))));
            // From now on the gauges of the partition's new holder count. Ours would keep their last values for ever.
            self.show_parked(0, 0);
            match ended {
                Ok(Ok(Stop::Shutdown)) => return,
                Ok(Ok(Stop::OverShare)) => {
                    tracing::info!(
                        projection = self.projection.name(), partition = %self.partition,
                        "the partition is left to another instance"
                    );
                }
                Ok(Ok(Stop::CheckpointConflict)) => {
                    tracing::info!(
                        projection = self.projection.name(),
                        "the checkpoint was moved by another; looking again"
                    );
                }
                Ok(Err(error)) => {
                    tracing::warn!(projection = self.projection.name(), %error, "the projection waits and tries again");
                }
                Err(_) => {
                    let name = self.projection.name();
                    tracing::error!(projection = name, "the projection's worker panicked");
                    eventstore::panics_of(&task::name(self.database.service, name)).increment(1);
                }
            }
            pause = if began.elapsed() > backoff.longest { backoff.first } else { backoff.after(pause) };
            shutdown.run_until_cancelled(tokio::time::sleep(pause)).await;
        }
    }

    /// Acquires the partition as soon as it is free, and applies its events until there is a reason to stop. `held_before` says on entry
    /// whether this worker held the partition until a moment ago, and afterwards whether it held it in this call.
    async fn acquire_and_apply(&mut self, shutdown: &CancellationToken, held_before: &mut bool) -> Result<Stop, Error> {
        let at_once = std::mem::take(held_before);
        let Some(taken) = shutdown.run_until_cancelled(self.acquire(at_once)).await else {
            return Ok(Stop::Shutdown);
        };
        let mut active = taken?;
        *held_before = true;
        // Drops batches that were received before: after a failover of Postgres to a replica that was behind, the log may lack them.
        self.feed = self.feed.resubscribe();
        self.show(&active);
        let stop = self.apply_until_stopped(&mut active, shutdown).await?;
        if !matches!(stop, Stop::CheckpointConflict) {
            self.flush(&mut active).await?;
            // Releases the lock for an instance that stands by.
            active.connection.close().await?;
        }
        Ok(stop)
    }

    /// Applies events from the log or the feed until there is a reason to stop.
    async fn apply_until_stopped(&mut self, active: &mut Active, shutdown: &CancellationToken) -> Result<Stop, Error> {
        while !shutdown.is_cancelled() {
            let stop = match self.run_due_tasks(active).await? {
                Some(stop) => Some(stop),
                None if active.behind => self.read_log(active).await?,
                None => self.wait_for_feed(active, shutdown).await?,
            };
            if let Some(stop) = stop {
                return Ok(stop);
            }
        }
        Ok(Stop::Shutdown)
    }

    /// Does what is due by time: stores the checkpoint, leaves a partition beyond the share, retries a dead letter.
    async fn run_due_tasks(&self, active: &mut Active) -> Result<Option<Stop>, Error> {
        if active.flush_at.is_some_and(|due| due <= Instant::now()) && !self.flush(active).await? {
            return Ok(Some(Stop::CheckpointConflict));
        }
        if active.keep_until <= Instant::now() && self.is_over_share() {
            return Ok(Some(Stop::OverShare));
        }
        // One dead letter at a time, so that one with many waiting events does not delay new events.
        if active.parked.due().is_some_and(|due| due <= Instant::now()) && !self.retry(active).await? {
            return Ok(Some(Stop::CheckpointConflict));
        }
        Ok(None)
    }

    /// Applies the next batch of the log.
    async fn read_log(&self, active: &mut Active) -> Result<Option<Stop>, Error> {
        active.last_activity = Instant::now();
        // The feed's batches are in the log too.
        active.queued.clear();
        let (number, partitions) = (self.partition.number(), self.partition.of());
        let EventSlice { events, last, more } =
            self.store.read_partition(active.position, self.settings.log_batch, number, partitions).await?;
        active.behind = more;
        if last == active.position {
            // The log was read on another connection. Ours may be closed by now, and with it the lock and our last commits may be lost,
            // since they do not wait for the disk. An instance that takes over begins at the stored checkpoint.
            within(ANSWER, active.connection.ping()).await?;
            return Ok(None);
        }
        let applied = self.apply(active, &events.iter().collect::<Vec<_>>(), last).await?;
        Ok((!applied).then_some(Stop::CheckpointConflict))
    }

    /// Waits for the feed's next batches and applies them. Returns early when something else is due.
    async fn wait_for_feed(
        &mut self,
        active: &mut Active,
        shutdown: &CancellationToken,
    ) -> Result<Option<Stop>, Error> {
        let next_poll = active.last_activity + self.settings.poll_interval;
        let received = tokio::select! {
            biased;
            () = shutdown.cancelled() => return Ok(Some(Stop::Shutdown)),
            received = self.feed.recv(), if active.queued.is_empty() => received.map(|batch| vec![batch]),
            () = std::future::ready(()), if !active.queued.is_empty() => Ok(std::mem::take(&mut active.queued)),
            Ok(()) = self.decided.changed(), if active.parked.due().is_some() => {
                active.parked.schedule(Some(Duration::ZERO));
                return Ok(None);
            }
            () = tokio::time::sleep_until(
                active.flush_at.into_iter().chain(active.parked.due()).fold(next_poll, Instant::min)
            ) => {
                // The feed delivered nothing new for `settings.poll_interval` (for example, a relay that the bus refuses repeats the same
                // events): read the log to see whether there is anything.
                active.behind = next_poll <= Instant::now();
                return Ok(None);
            }
        };
        match received {
            Ok(batches) => self.apply_from_feed(active, batches, shutdown).await,
            Err(RecvError::Lagged(_)) => {
                active.behind = true;
                Ok(None)
            }
            // The sender ends only with the process.
            Err(RecvError::Closed) => Ok(Some(Stop::Shutdown)),
        }
    }

    /// Applies batches of the feed. After a large batch, waits a moment so that the next one is large too.
    async fn apply_from_feed(
        &mut self,
        active: &mut Active,
        batches: Vec<Batch>,
        shutdown: &CancellationToken,
    ) -> Result<Option<Stop>, Error> {
        let (began, before) = (Instant::now(), active.position);
        let Some(AppliedBatches { contiguous, majority }) = self.apply_batches(active, batches).await? else {
            return Ok(Some(Stop::CheckpointConflict));
        };
        active.behind = !contiguous;
        if active.position > before {
            active.last_activity = Instant::now();
        }
        if active.position.0 - before.0 >= self.settings.busy as u64 {
            let rested = self.gather(began + self.settings.batch_interval, majority, &mut active.queued);
            match shutdown.run_until_cancelled(rested).await {
                None | Some(Ok(())) => {}
                Some(Err(RecvError::Lagged(_))) => active.behind = true,
                Some(Err(RecvError::Closed)) => return Ok(Some(Stop::Shutdown)),
            }
        }
        Ok(None)
    }

    /// Collects batches of the feed, so that the next transaction is large: until a time, until `settings.enough` events have come, or
    /// until an event comes that is not of the tenant with the majority. So no tenant waits for another one's bulk of events.
    async fn gather(
        &mut self,
        until: Instant,
        majority: Option<TenantId>,
        queued: &mut Vec<Batch>,
    ) -> Result<(), RecvError> {
        let mut count = 0;
        while count < self.settings.enough {
            let batch = tokio::select! {
                biased;
                () = tokio::time::sleep_until(until) => break,
                received = self.feed.recv() => received?,
            };
            count += batch.len();
            let others = majority.is_some_and(|tenant| batch.iter().any(|event| event.tenant != tenant));
            queued.push(batch);
            if others {
                break;
            }
        }
        Ok(())
    }

    /// Applies batches of the feed, together with those that are ready in the channel. `None`: the checkpoint was moved by another.
    async fn apply_batches(
        &mut self,
        active: &mut Active,
        mut batches: Vec<Batch>,
    ) -> Result<Option<AppliedBatches>, Error> {
        let mut count: usize = batches.iter().map(|batch| batch.len()).sum();
        while count < MAX_EVENTS_TOGETHER {
            let Ok(more) = self.feed.try_recv() else { break };
            count += more.len();
            batches.push(more);
        }
        let (events, contiguous) = contiguous_after(active.position, &batches);
        let majority = majority_tenant(&events);
        if let Some(last) = events.last().map(|event| event.position)
            && !self.apply(active, &events, last).await?
        {
            return Ok(None);
        }
        Ok(Some(AppliedBatches { contiguous, majority }))
    }

    /// Applies events, and moves the position to `last`. False: the checkpoint was moved by another; nothing is written.
    async fn apply(&self, active: &mut Active, events: &[&RecordedEvent], last: Position) -> Result<bool, Error> {
        let projection = self.projection.as_ref();
        let wanted: Vec<&RecordedEvent> = events
            .iter()
            .copied()
            .filter(|event| active.checkpoint.awaits(event) && projection.wants(&event.event_type))
            .collect();
        if wanted.is_empty() {
            // No rows to write. The checkpoint is stored with the next batch that has some, or when the flush is due.
            active.position = last;
            active.flush_at.get_or_insert_with(|| Instant::now() + self.settings.flush);
            self.show_position(active);
            return Ok(true);
        }
        let began = Instant::now();
        let spans = crate::tracing_context::spans(projection.name(), &wanted, self.settings.traced_events);
        // Personal data in the feed is encrypted, as in the log.
        let opened = self.store.opened_copies(&wanted).await?;
        let wanted = opened.as_ref().map_or(wanted, |opened| opened.iter().collect());
        let connection = &mut active.connection;
        let written =
            writing::write(&self.database, connection, projection, &wanted, &active.checkpoint, &active.parked, last)
                .await?;
        let Written::Done { parked } = written else { return Ok(false) };
        drop(spans);
        active.parked.add(&parked);
        active.checkpoint.position = last;
        active.position = last;
        active.flush_at = None;
        self.show(active);
        metrics::histogram!("inopsio_projection_apply_seconds", self.labels()).record(began.elapsed());
        metrics::counter!("inopsio_projection_events_total", self.labels()).increment(wanted.len() as u64);
        Ok(true)
    }

    /// Retries the parked event that is due first, if one is due. False: the checkpoint was moved by another; nothing is written.
    async fn retry(&self, active: &mut Active) -> Result<bool, Error> {
        let (projection, connection) = (self.projection.as_ref(), &mut active.connection);
        let retried = retrying::retry(
            &self.database,
            &self.store,
            connection,
            projection,
            &active.checkpoint,
            active.position,
            &active.parked,
        )
        .await?;
        let mut least = Duration::ZERO;
        match retried {
            Retried::CheckpointConflict => return Ok(false),
            Retried::Nothing => {
                least = deadletters::LOCKED_PAUSE;
                active.parked.reload(connection, projection.name(), self.partition).await?;
            }
            Retried::Tried { taken, settled } => {
                let result = if settled.events > 0 { "applied" } else { "failed" };
                active.parked.settle(&taken, settled);
                metrics::counter!("inopsio_dead_letter_attempts_total", "service" => self.database.service.name(),
                    "consumer" => "projection", "name" => projection.name(), "result" => result)
                .increment(1);
            }
        }
        active.checkpoint.position = active.position;
        active.flush_at = None;
        // A decision made in another process is announced on the bus. In case that message is lost, check again after
        // `settings.poll_interval` at the latest, while events are parked.
        let (consumer, share) = (parking::consumer(projection.name()), parking::share(self.partition));
        let due = deadletters::due(&mut active.connection, &consumer, share).await?;
        active.parked.schedule(due.map(|due| due.min(self.settings.poll_interval).max(least)));
        self.show(active);
        Ok(true)
    }

    /// Stores a position that advanced without rows to write. False: the checkpoint was moved by another.
    async fn flush(&self, active: &mut Active) -> Result<bool, Error> {
        active.flush_at = None;
        if active.position == active.checkpoint.position {
            return Ok(true);
        }
        let name = self.projection.name();
        let advanced = active.checkpoint.advance(&mut active.connection, name, active.position);
        let moved = within(STORED, advanced).await?;
        active.checkpoint.position = active.position;
        Ok(moved)
    }

    /// Publishes the position, and the numbers of parked events, to queries and metrics.
    fn show(&self, active: &Active) {
        self.show_position(active);
        self.show_parked(active.parked.events(), active.parked.aggregates());
    }

    /// Publishes the position to queries. Each batch of the feed moves it, also in projections that want nothing of the batch.
    fn show_position(&self, active: &Active) {
        self.progress.set(
            self.index,
            self.partition,
            PartitionProgress {
                position: active.position,
                checkpoint: active.checkpoint.position,
                active: true,
                failing: false,
            },
        );
    }

    /// Sets the gauges of parked events, and of the aggregates that they belong to.
    fn show_parked(&self, events: u64, aggregates: u64) {
        metrics::gauge!("inopsio_projection_parked_events", self.labels()).set(events as f64);
        metrics::gauge!("inopsio_dead_letters", "service" => self.database.service.name(), "consumer" => "projection",
            "name" => self.projection.name(), "partition" => self.partition.number().to_string())
        .set(aggregates as f64);
    }

    fn labels(&self) -> Vec<Label> {
        labels(self.database.service.name(), self.projection.name(), self.partition)
    }
}

/// The labels of a partition's metrics.
pub(crate) fn labels(service: &'static str, projection: &'static str, partition: Partition) -> Vec<Label> {
    vec![
        Label::from_static_parts("service", service),
        Label::from_static_parts("projection", projection),
        Label::new("partition", partition.number().to_string()),
    ]
}
