//! One partition of a projection: takes events from the feed or the log, in order, and applies each batch once.

mod taking;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use eventstore::{Database, EventSlice, EventStore};
use futures::FutureExt;
use kernel::{Position, RecordedEvent, TenantId};
use metrics::Label;
use sqlx::{Connection, PgConnection};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::assignment::Assignments;
use crate::checkpoint::Checkpoint;
use crate::fan::Batch;
use crate::following::{following, majority};
use crate::held_partitions::{HeldPartition, HeldPartitions};
use crate::parking::{self, Parked};
use crate::partition::Partition;
use crate::progress::{PartitionProgress, ProgressWriter};
use crate::retrying::{self, Retried};
use crate::writing::{self, Written};
use crate::{Error, Projection, Settings};

/// Batches that wait are applied together up to so many events, and no more, so that queries see something soon.
const TOGETHER: usize = 1_000;

pub(crate) struct Worker {
    pub(crate) database: Database,
    pub(crate) store: EventStore,
    pub(crate) projection: Arc<dyn Projection>,
    /// The projection's place among what is shown and among the assignments.
    pub(crate) index: usize,
    pub(crate) partition: Partition,
    pub(crate) held: HeldPartitions,
    pub(crate) assignments: watch::Receiver<Assignments>,
    pub(crate) progress: ProgressWriter,
    pub(crate) feed: broadcast::Receiver<Batch>,
    /// Changes when somebody decided about a dead letter.
    pub(crate) decided: watch::Receiver<()>,
    pub(crate) settings: Settings,
}

/// What a worker that applies knows.
struct Active {
    connection: PgConnection,
    checkpoint: Checkpoint,
    parked: Parked,
    /// The last position that is visible: the checkpoint, or further when what followed it changes nothing here.
    position: Position,
    /// When the checkpoint is to be stored although nothing else is.
    flush: Option<Instant>,
    /// That this instance holds the partition, for as long as it applies it.
    _held: HeldPartition,
    /// Until when it is kept, be it beyond our share.
    kept: Instant,
    /// Whether the log may have more than the feed gives: then it is read.
    behind: bool,
    /// When something new was heard, or the log was read, last.
    heard: Instant,
    /// What the feed gave and is not applied yet.
    waiting: Vec<Batch>,
}

/// Why a worker stopped applying.
enum Stop {
    Shutdown,
    /// Somebody else moved the checkpoint: look again where it is.
    Overtaken,
    /// Other instances have less than their share, and this one more.
    Beyond,
}

/// What became of what the feed gave.
struct Followed {
    /// Whether that was all, or there is a gap, which the log fills.
    contiguous: bool,
    /// Whose it was for the most part.
    bulk: Option<TenantId>,
}

impl Worker {
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        let mut pause = Duration::from_millis(50);
        // What was ours a moment ago, and was not left to others, is most likely nobody's.
        let mut was_ours = false;
        while !shutdown.is_cancelled() {
            let began = Instant::now();
            // A panic here would be a mistake of ours; it must not stop the projection for good.
            let ended = AssertUnwindSafe(self.be_active(&shutdown, &mut was_ours)).catch_unwind().await;
            was_ours &= !matches!(ended, Ok(Ok(Stop::Beyond)));
            self.progress.stop(self.index, self.partition, !matches!(ended, Ok(Ok(_))));
            // Whoever applies from now on says what is parked; what we knew of last would stand beside it for good.
            self.show_parked(0, 0);
            match ended {
                Ok(Ok(Stop::Shutdown)) => return,
                Ok(Ok(Stop::Beyond)) => {
                    tracing::info!(
                        projection = self.projection.name(), partition = %self.partition,
                        "the partition is left to another instance"
                    );
                }
                Ok(Ok(Stop::Overtaken)) => {
                    tracing::info!(
                        projection = self.projection.name(),
                        "the checkpoint was moved by another; looking again"
                    );
                }
                Ok(Err(error)) => {
                    tracing::warn!(projection = self.projection.name(), %error, "the projection waits and tries again");
                }
                Err(_) => tracing::error!(projection = self.projection.name(), "the projection's worker panicked"),
            }
            pause = if began.elapsed() > self.settings.max_backoff { Duration::from_millis(50) } else { pause * 2 };
            pause = pause.min(self.settings.max_backoff);
            shutdown.run_until_cancelled(tokio::time::sleep(pause)).await;
        }
    }

    /// Takes the partition over as soon as nobody else has it, and applies until something ends that. `ours`: whether it was ours
    /// until a moment ago, and then whether it became so.
    async fn be_active(&mut self, shutdown: &CancellationToken, ours: &mut bool) -> Result<Stop, Error> {
        let at_once = std::mem::take(ours);
        let Some(taken) = shutdown.run_until_cancelled(self.take_over(at_once)).await else {
            return Ok(Stop::Shutdown);
        };
        let mut active = taken?;
        *ours = true;
        // What was heard before may be what the log has lost since, when Postgres failed over to a copy that was behind.
        self.feed = self.feed.resubscribe();
        self.show(&active);
        let stop = self.apply_until_stopped(&mut active, shutdown).await?;
        if !matches!(stop, Stop::Overtaken) {
            self.flush(&mut active).await?;
            // Gives the lock to whoever stands by.
            active.connection.close().await?;
        }
        Ok(stop)
    }

    async fn apply_until_stopped(&mut self, active: &mut Active, shutdown: &CancellationToken) -> Result<Stop, Error> {
        while !shutdown.is_cancelled() {
            let stop = match self.attend(active).await? {
                Some(stop) => Some(stop),
                None if active.behind => self.read_log(active).await?,
                None => self.hear(active, shutdown).await?,
            };
            if let Some(stop) = stop {
                return Ok(stop);
            }
        }
        Ok(Stop::Shutdown)
    }

    /// Does what is due beside the events.
    async fn attend(&self, active: &mut Active) -> Result<Option<Stop>, Error> {
        if active.flush.is_some_and(|due| due <= Instant::now()) && !self.flush(active).await? {
            return Ok(Some(Stop::Overtaken));
        }
        if active.kept <= Instant::now() && self.is_beyond() {
            return Ok(Some(Stop::Beyond));
        }
        // One at a time, so that a letter with many events behind it does not hold up the others.
        if active.parked.due().is_some_and(|due| due <= Instant::now()) && !self.retry(active).await? {
            return Ok(Some(Stop::Overtaken));
        }
        Ok(None)
    }

    /// Applies what the log has next.
    async fn read_log(&self, active: &mut Active) -> Result<Option<Stop>, Error> {
        active.heard = Instant::now();
        // What came from the feed meanwhile is in the log too.
        active.waiting.clear();
        let (number, partitions) = (self.partition.number(), self.partition.of());
        let EventSlice { events, last, more } =
            self.store.read_partition(active.position, self.settings.log_batch, number, partitions).await?;
        active.behind = more;
        if last == active.position {
            // The log was read by another connection. Ours may have gone meanwhile, with the lock, and with the last
            // commits, which do not wait for the disk: whoever takes over begins at the stored checkpoint.
            active.connection.ping().await?;
            return Ok(None);
        }
        let applied = self.apply(active, &events.iter().collect::<Vec<_>>(), last).await?;
        Ok((!applied).then_some(Stop::Overtaken))
    }

    /// Waits for what the feed gives next and applies it, unless something else is due first.
    async fn hear(&mut self, active: &mut Active, shutdown: &CancellationToken) -> Result<Option<Stop>, Error> {
        let look = active.heard + self.settings.look;
        let received = tokio::select! {
            biased;
            () = shutdown.cancelled() => return Ok(Some(Stop::Shutdown)),
            received = self.feed.recv(), if active.waiting.is_empty() => received.map(|batch| vec![batch]),
            () = std::future::ready(()), if !active.waiting.is_empty() => Ok(std::mem::take(&mut active.waiting)),
            Ok(()) = self.decided.changed(), if active.parked.due().is_some() => {
                active.parked.look_in(Some(Duration::ZERO));
                return Ok(None);
            }
            () = tokio::time::sleep_until(active.flush.into_iter().chain(active.parked.due()).fold(look, Instant::min)) => {
                // Heard nothing new for so long (a relay that the bus refuses says the same again and again): the log knows
                // whether there was nothing.
                active.behind = look <= Instant::now();
                return Ok(None);
            }
        };
        match received {
            Ok(batches) => self.follow(active, batches, shutdown).await,
            Err(RecvError::Lagged(_)) => {
                active.behind = true;
                Ok(None)
            }
            // Only at the end of the process.
            Err(RecvError::Closed) => Ok(Some(Stop::Shutdown)),
        }
    }

    /// Applies what the feed gave; after much of it, lets more come.
    async fn follow(
        &mut self,
        active: &mut Active,
        batches: Vec<Batch>,
        shutdown: &CancellationToken,
    ) -> Result<Option<Stop>, Error> {
        let (began, before) = (Instant::now(), active.position);
        let Some(Followed { contiguous, bulk }) = self.take_in(active, batches).await? else {
            return Ok(Some(Stop::Overtaken));
        };
        active.behind = !contiguous;
        if active.position > before {
            active.heard = Instant::now();
        }
        if active.position.0 - before.0 >= self.settings.busy as u64 {
            let rested = self.rest(began + self.settings.stride, bulk, &mut active.waiting);
            match shutdown.run_until_cancelled(rested).await {
                None | Some(Ok(())) => {}
                Some(Err(RecvError::Lagged(_))) => active.behind = true,
                Some(Err(RecvError::Closed)) => return Ok(Some(Stop::Shutdown)),
            }
        }
        Ok(None)
    }

    /// Lets more come, so that the next batch is large: until a time, until enough waits, or until something waits that is not of
    /// the tenant whose bulk keeps us busy; nobody waits for another tenant's bulk.
    async fn rest(
        &mut self,
        until: Instant,
        bulk: Option<TenantId>,
        waiting: &mut Vec<Batch>,
    ) -> Result<(), RecvError> {
        let mut count = 0;
        while count < self.settings.enough {
            let batch = tokio::select! {
                biased;
                () = tokio::time::sleep_until(until) => break,
                received = self.feed.recv() => received?,
            };
            count += batch.len();
            let others = bulk.is_some_and(|bulk| batch.iter().any(|event| event.tenant != bulk));
            waiting.push(batch);
            if others {
                break;
            }
        }
        Ok(())
    }

    /// Applies what the feed gave, with what else is ready. `None`: overtaken.
    async fn take_in(&mut self, active: &mut Active, mut batches: Vec<Batch>) -> Result<Option<Followed>, Error> {
        let mut count: usize = batches.iter().map(|batch| batch.len()).sum();
        while count < TOGETHER {
            let Ok(more) = self.feed.try_recv() else { break };
            count += more.len();
            batches.push(more);
        }
        let (events, contiguous) = following(active.position, &batches);
        let bulk = majority(&events);
        if let Some(last) = events.last().map(|event| event.position)
            && !self.apply(active, &events, last).await?
        {
            return Ok(None);
        }
        Ok(Some(Followed { contiguous, bulk }))
    }

    /// Makes everything up to `last` visible. False: overtaken.
    async fn apply(&self, active: &mut Active, events: &[&RecordedEvent], last: Position) -> Result<bool, Error> {
        let projection = self.projection.as_ref();
        let wanted: Vec<&RecordedEvent> = events
            .iter()
            .copied()
            .filter(|event| active.checkpoint.awaits(event) && projection.wants(&event.event_type))
            .collect();
        if wanted.is_empty() {
            // Nothing changes here. The checkpoint may be stored with the next batch that does change something, or soon.
            active.position = last;
            active.flush.get_or_insert_with(|| Instant::now() + self.settings.flush);
            self.show(active);
            return Ok(true);
        }
        let began = Instant::now();
        let spans = crate::tracing_context::spans(projection.name(), &wanted, self.settings.traced_events);
        // The feed has personal data as it is stored: sealed.
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
        active.flush = None;
        self.show(active);
        metrics::histogram!("inopsio_projection_apply_seconds", self.labels()).record(began.elapsed());
        metrics::counter!("inopsio_projection_events_total", self.labels()).increment(wanted.len() as u64);
        Ok(true)
    }

    /// Tries the parked event that is due first, if one is. False: overtaken.
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
            Retried::Overtaken => return Ok(false),
            Retried::Nothing => {
                least = deadletters::LOCKED_PAUSE;
                active.parked.look(connection, projection.name(), self.partition).await?;
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
        active.flush = None;
        // What another process decides is heard of, or else found soon; while nothing is parked nothing is looked for.
        let (consumer, share) = (parking::consumer(projection.name()), parking::share(self.partition));
        let due = deadletters::due(&mut active.connection, &consumer, share).await?;
        active.parked.look_in(due.map(|due| due.min(self.settings.look).max(least)));
        self.show(active);
        Ok(true)
    }

    /// Stores a checkpoint that moved without anything else to be written. False: overtaken.
    async fn flush(&self, active: &mut Active) -> Result<bool, Error> {
        active.flush = None;
        if active.position == active.checkpoint.position {
            return Ok(true);
        }
        let name = self.projection.name();
        let moved = active.checkpoint.advance(&mut active.connection, name, active.position).await?;
        active.checkpoint.position = active.position;
        Ok(moved)
    }

    fn show(&self, active: &Active) {
        self.progress.set(
            self.index,
            self.partition,
            PartitionProgress { position: active.position, active: true, failing: false },
        );
        self.show_parked(active.parked.events(), active.parked.aggregates());
    }

    /// So many events, of so many aggregates.
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

/// What tells the metrics of a partition from others.
pub(crate) fn labels(service: &'static str, projection: &'static str, partition: Partition) -> Vec<Label> {
    vec![
        Label::from_static_parts("service", service),
        Label::from_static_parts("projection", projection),
        Label::new("partition", partition.number().to_string()),
    ]
}
