//! One partition of a projection: takes events from the feed or the log, in order, and applies each batch once.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use eventstore::{Database, EventStore, LockClass, Stretch};
use futures::FutureExt;
use kernel::{Position, RecordedEvent, TenantId};
use metrics::Label;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::checkpoint::Checkpoint;
use crate::crew::{Seat, Seats};
use crate::fan::Batch;
use crate::following::{following, majority};
use crate::parking::{self, Parked};
use crate::partition::Partition;
use crate::progress::{Board, Standing};
use crate::retrying::{self, Retried};
use crate::roster::{self, Entries, Entry, LOCK_NAME};
use crate::writing::{self, Written};
use crate::{Error, Projection, Settings};

/// A partition beyond our share that nobody else took is kept for so long before it is left to others again.
const KEPT: Duration = Duration::from_secs(10);
/// Batches that wait are applied together up to so many events, and no more, so that queries see something soon.
const TOGETHER: usize = 1_000;

pub(crate) struct Worker {
    pub(crate) database: Database,
    pub(crate) store: EventStore,
    pub(crate) projection: Arc<dyn Projection>,
    /// The projection's place on the board and among the entries.
    pub(crate) index: usize,
    pub(crate) partition: Partition,
    pub(crate) seats: Seats,
    pub(crate) entries: watch::Receiver<Entries>,
    pub(crate) board: Board,
    pub(crate) feed: broadcast::Receiver<Batch>,
    /// Changes when somebody decided about a dead letter.
    pub(crate) decided: watch::Receiver<()>,
    pub(crate) settings: Settings,
}

/// What a worker that applies knows.
struct Lead {
    connection: PgConnection,
    checkpoint: Checkpoint,
    parked: Parked,
    /// The last position that is visible: the checkpoint, or further when what followed it changes nothing here.
    position: Position,
    /// When the checkpoint is to be stored although nothing else is.
    flush: Option<Instant>,
    /// Its place among what this instance applies.
    _seat: Seat,
    /// Until when it is kept, be it beyond our share.
    kept: Instant,
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
            let ended = AssertUnwindSafe(self.lead(&shutdown, &mut was_ours)).catch_unwind().await;
            was_ours &= !matches!(ended, Ok(Ok(Stop::Beyond)));
            self.board.stop(self.index, self.partition, !matches!(ended, Ok(Ok(_))));
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

    /// Takes the projection over as soon as nobody else has it, and applies until something ends that. `ours`: whether it was
    /// ours until a moment ago, and then whether it became so.
    async fn lead(&mut self, shutdown: &CancellationToken, ours: &mut bool) -> Result<Stop, Error> {
        let at_once = std::mem::take(ours);
        let Some(taken) = shutdown.run_until_cancelled(self.take_over(at_once)).await else {
            return Ok(Stop::Shutdown);
        };
        let mut lead = taken?;
        *ours = true;
        // What was heard before may be what the log has lost since, when Postgres failed over to a copy that was behind.
        self.feed = self.feed.resubscribe();
        self.show(&lead);
        // The log first: what was appended before the feed began is only there.
        let mut behind = true;
        let mut heard = Instant::now();
        let mut waiting: Vec<Batch> = Vec::new();
        while !shutdown.is_cancelled() {
            if lead.flush.is_some_and(|due| due <= Instant::now()) && !self.flush(&mut lead).await? {
                return Ok(Stop::Overtaken);
            }
            if lead.kept <= Instant::now() && self.is_beyond() {
                self.flush(&mut lead).await?;
                lead.connection.close().await?;
                return Ok(Stop::Beyond);
            }
            // One at a time, so that a letter with many events behind it does not hold up the others.
            if lead.parked.due().is_some_and(|due| due <= Instant::now()) && !self.retry(&mut lead).await? {
                return Ok(Stop::Overtaken);
            }
            if behind {
                heard = Instant::now();
                // What came from the feed meanwhile is in the log too.
                waiting.clear();
                let (number, partitions) = (self.partition.number(), self.partition.of());
                let Stretch { events, last, more } =
                    self.store.read_partition(lead.position, self.settings.log_batch, number, partitions).await?;
                behind = more;
                if last == lead.position {
                    // The log was read by another connection. Ours may have gone meanwhile, with the lock, and with the last
                    // commits, which do not wait for the disk: whoever takes over begins at the stored checkpoint.
                    lead.connection.ping().await?;
                    continue;
                }
                if !self.apply(&mut lead, &events.iter().collect::<Vec<_>>(), last).await? {
                    return Ok(Stop::Overtaken);
                }
                continue;
            }
            let look = heard + self.settings.look;
            let received = tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                received = self.feed.recv(), if waiting.is_empty() => received.map(|batch| vec![batch]),
                () = std::future::ready(()), if !waiting.is_empty() => Ok(std::mem::take(&mut waiting)),
                Ok(()) = self.decided.changed(), if lead.parked.due().is_some() => {
                    lead.parked.look_in(Some(Duration::ZERO));
                    continue;
                }
                () = tokio::time::sleep_until(lead.flush.into_iter().chain(lead.parked.due()).fold(look, Instant::min)) => {
                    // Heard nothing new for so long (a relay that the bus refuses says the same again and again): the log knows
                    // whether there was nothing.
                    behind = look <= Instant::now();
                    continue;
                }
            };
            match received {
                Ok(batches) => {
                    let (began, before) = (Instant::now(), lead.position);
                    let Some(Followed { contiguous, bulk }) = self.follow(&mut lead, batches).await? else {
                        return Ok(Stop::Overtaken);
                    };
                    behind = !contiguous;
                    if lead.position > before {
                        heard = Instant::now();
                    }
                    if lead.position.0 - before.0 >= self.settings.busy as u64 {
                        let rested = self.rest(began + self.settings.stride, bulk, &mut waiting);
                        match shutdown.run_until_cancelled(rested).await {
                            None | Some(Ok(())) => {}
                            Some(Err(RecvError::Lagged(_))) => behind = true,
                            Some(Err(RecvError::Closed)) => break,
                        }
                    }
                }
                Err(RecvError::Lagged(_)) => behind = true,
                // Only at the end of the process.
                Err(RecvError::Closed) => break,
            }
        }
        self.flush(&mut lead).await?;
        // Gives the lock to whoever stands by.
        lead.connection.close().await?;
        Ok(Stop::Shutdown)
    }

    /// Waits until the partition is nobody's, its tables are of our version, and it is for us to take; `at_once`: tries before it
    /// asks who has it.
    async fn take_over(&self, at_once: bool) -> Result<Lead, Error> {
        let mut entries = self.entries.clone();
        let mut said = false;
        // How often it was seen to be nobody's, one time after the other.
        let mut free = 0;
        if at_once && let Some(lead) = self.take(None).await? {
            return Ok(lead);
        }
        loop {
            let entry = entries.borrow_and_update().get(self.index).cloned();
            let taken = entry.as_ref().and_then(|entry| entry.taken.get(self.partition.index())).copied();
            let why = match (&entry, taken) {
                (None, _) => None,
                (Some(entry), _) if entry.version.is_none() => {
                    Some("its tables were never made: run `inopsio migrate`")
                }
                (Some(entry), _) if entry.version != Some(self.projection.version()) => {
                    Some("its tables are of another version: run `inopsio projection rebuild`")
                }
                (Some(entry), Some(false)) if entry.partitions() == self.partition.of() => {
                    free += 1;
                    // Beyond our share it is for others, unless they leave it.
                    if let Some(lead) = self.take((free == 1).then_some(entry)).await? {
                        return Ok(lead);
                    }
                    None
                }
                _ => {
                    free = 0;
                    // How far it is, that instance shows.
                    self.board.set(self.index, self.partition, Standing::default());
                    Some("another instance applies it")
                }
            };
            if let (Some(why), false) = (why, said) {
                tracing::info!(projection = self.projection.name(), partition = %self.partition, "standing by: {why}");
                said = true;
            }
            if entries.changed().await.is_err() {
                // The roster ends only with the process.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Takes the partition, unless another instance has it, or it is not what we know, or it would be more than our share of
    /// this entry.
    async fn take(&self, shared: Option<&Entry>) -> Result<Option<Lead>, Error> {
        let _turn = self.seats.turn.lock().await;
        if shared.is_some_and(|entry| !self.seats.has_room(entry)) {
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
        let seat = self.seats.take(self.partition);
        let kept = if shared.is_none() { Instant::now() + KEPT } else { Instant::now() };
        Ok(Some(Lead { connection, checkpoint, parked, position, flush: None, _seat: seat, kept }))
    }

    /// Whether this instance applies more than its share, and this partition is what it has to leave.
    fn is_beyond(&self) -> bool {
        let entries = self.entries.borrow();
        entries.get(self.index).is_some_and(|entry| {
            entry.partitions() == self.partition.of() && self.seats.is_beyond(self.partition, entry)
        })
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

    /// Takes over what the feed gave, with what else is ready. `None`: overtaken.
    async fn follow(&mut self, lead: &mut Lead, mut batches: Vec<Batch>) -> Result<Option<Followed>, Error> {
        let mut count: usize = batches.iter().map(|batch| batch.len()).sum();
        while count < TOGETHER {
            let Ok(more) = self.feed.try_recv() else { break };
            count += more.len();
            batches.push(more);
        }
        let (events, contiguous) = following(lead.position, &batches);
        let bulk = majority(&events);
        if let Some(last) = events.last().map(|event| event.position)
            && !self.apply(lead, &events, last).await?
        {
            return Ok(None);
        }
        Ok(Some(Followed { contiguous, bulk }))
    }

    /// Makes everything up to `last` visible. False: overtaken.
    async fn apply(&self, lead: &mut Lead, events: &[&RecordedEvent], last: Position) -> Result<bool, Error> {
        let projection = self.projection.as_ref();
        let wanted: Vec<&RecordedEvent> = events
            .iter()
            .copied()
            .filter(|event| lead.checkpoint.awaits(event) && projection.wants(&event.event_type))
            .collect();
        if wanted.is_empty() {
            // Nothing changes here. The checkpoint may be stored with the next batch that does change something, or soon.
            lead.position = last;
            lead.flush.get_or_insert_with(|| Instant::now() + self.settings.flush);
            self.show(lead);
            return Ok(true);
        }
        let began = Instant::now();
        let spans = crate::tracing_context::spans(projection.name(), &wanted, self.settings.traced_events);
        // The feed has personal data as it is stored: sealed.
        let opened = self.store.opened_copies(&wanted).await?;
        let wanted = opened.as_ref().map_or(wanted, |opened| opened.iter().collect());
        let connection = &mut lead.connection;
        let written =
            writing::write(&self.database, connection, projection, &wanted, &lead.checkpoint, &lead.parked, last)
                .await?;
        let Written::Done { parked } = written else { return Ok(false) };
        drop(spans);
        lead.parked.add(&parked);
        lead.checkpoint.position = last;
        lead.position = last;
        lead.flush = None;
        self.show(lead);
        metrics::histogram!("inopsio_projection_apply_seconds", self.labels()).record(began.elapsed());
        metrics::counter!("inopsio_projection_events_total", self.labels()).increment(wanted.len() as u64);
        Ok(true)
    }

    /// Tries the parked event that is due first, if one is. False: overtaken.
    async fn retry(&self, lead: &mut Lead) -> Result<bool, Error> {
        let (projection, connection) = (self.projection.as_ref(), &mut lead.connection);
        let retried = retrying::retry(
            &self.database,
            &self.store,
            connection,
            projection,
            &lead.checkpoint,
            lead.position,
            &lead.parked,
        )
        .await?;
        match retried {
            Retried::Overtaken => return Ok(false),
            Retried::Nothing => {}
            Retried::Tried { aggregate, settled } => {
                let result = if settled.events > 0 { "applied" } else { "failed" };
                lead.parked.settle(&aggregate, settled);
                metrics::counter!("inopsio_dead_letter_attempts_total", "service" => self.database.service.name(),
                    "consumer" => "projection", "name" => projection.name(), "result" => result)
                .increment(1);
            }
        }
        lead.checkpoint.position = lead.position;
        lead.flush = None;
        // What another process decides is heard of, or else found soon; while nothing is parked nothing is looked for.
        let (consumer, share) = (parking::consumer(projection.name()), parking::share(self.partition));
        let due = deadletters::due(&mut lead.connection, &consumer, share).await?;
        lead.parked.look_in(due.map(|due| due.min(self.settings.look)));
        self.show(lead);
        Ok(true)
    }

    /// Stores a checkpoint that moved without anything else to be written. False: overtaken.
    async fn flush(&self, lead: &mut Lead) -> Result<bool, Error> {
        lead.flush = None;
        if lead.position == lead.checkpoint.position {
            return Ok(true);
        }
        let name = self.projection.name();
        let moved = lead.checkpoint.advance(&mut lead.connection, name, lead.position).await?;
        lead.checkpoint.position = lead.position;
        Ok(moved)
    }

    fn show(&self, lead: &Lead) {
        self.board.set(self.index, self.partition, Standing { position: lead.position, active: true, failing: false });
        self.show_parked(lead.parked.events(), lead.parked.aggregates());
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

/// Projections find rows by their keys. A plan that was made while a table was small, or has no statistics yet, must not become
/// a scan of all of it for every batch.
fn apply_options(database: &Database) -> PgConnectOptions {
    roster::options(database).options([
        // A checkpoint that moves by itself, too: its sync would be one that appends wait behind.
        ("synchronous_commit", "off"),
        ("plan_cache_mode", "force_generic_plan"),
        ("enable_seqscan", "off"),
        ("enable_hashjoin", "off"),
        ("enable_mergejoin", "off"),
    ])
}
