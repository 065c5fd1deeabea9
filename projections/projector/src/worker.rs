//! One projection: takes events from the feed or the log, in order, and applies each batch once.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use eventstore::{Database, EventStore, Role};
use futures::FutureExt;
use kernel::{Position, RecordedEvent};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::checkpoint::Checkpoint;
use crate::fan::Batch;
use crate::parking::Parked;
use crate::progress::{Board, Standing};
use crate::writing::{self, Written};
use crate::{Error, Projection, Settings};

/// First half of the advisory lock's key; the second is the projection's name. Locks are per database.
const LOCK_CLASS: i32 = 71_647;
/// Batches that wait are applied together up to so many events, and no more, so that queries see something soon.
const TOGETHER: usize = 1_000;

pub(crate) struct Worker {
    pub(crate) database: Database,
    pub(crate) store: EventStore,
    pub(crate) projection: Arc<dyn Projection>,
    /// Its place on the board.
    pub(crate) index: usize,
    pub(crate) board: Board,
    pub(crate) feed: broadcast::Receiver<Batch>,
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
}

/// Why a worker stopped applying.
enum Stop {
    Shutdown,
    /// Somebody else moved the checkpoint: look again where it is.
    Overtaken,
}

impl Worker {
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        let mut pause = Duration::from_millis(50);
        while !shutdown.is_cancelled() {
            let began = Instant::now();
            // A panic here would be a mistake of ours; it must not stop the projection for good.
            let ended = AssertUnwindSafe(self.lead(&shutdown)).catch_unwind().await;
            self.board.stop(self.index, !matches!(ended, Ok(Ok(_))));
            match ended {
                Ok(Ok(Stop::Shutdown)) => return,
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

    /// Takes the projection over as soon as nobody else has it, and applies until something ends that.
    async fn lead(&mut self, shutdown: &CancellationToken) -> Result<Stop, Error> {
        let Some(taken) = shutdown.run_until_cancelled(self.take_over()).await else { return Ok(Stop::Shutdown) };
        let mut lead = taken?;
        self.show(&lead);
        // The log first: what was appended before the feed began is only there.
        let mut behind = true;
        while !shutdown.is_cancelled() {
            if lead.flush.is_some_and(|due| due <= Instant::now()) && !self.flush(&mut lead).await? {
                return Ok(Stop::Overtaken);
            }
            if behind {
                let events = self.store.read_after(lead.position, self.settings.log_batch).await?;
                behind = events.len() >= self.settings.log_batch as usize;
                let Some(last) = events.last().map(|event| event.position) else {
                    // The log was read by another connection. Ours may have gone meanwhile, with the lock, and with the last
                    // commits, which do not wait for the disk: whoever takes over begins at the stored checkpoint.
                    lead.connection.ping().await?;
                    continue;
                };
                if !self.take(&mut lead, &events.iter().collect::<Vec<_>>(), last).await? {
                    return Ok(Stop::Overtaken);
                }
                continue;
            }
            let look = Instant::now() + self.settings.look;
            let received = tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                received = self.feed.recv() => received,
                () = tokio::time::sleep_until(lead.flush.unwrap_or(look).min(look)) => {
                    // Heard nothing for so long: the log knows whether there was nothing.
                    behind = lead.flush.is_none();
                    continue;
                }
            };
            match received {
                Ok(batch) => {
                    let (began, before) = (Instant::now(), lead.position);
                    match self.follow(&mut lead, batch).await? {
                        Some(contiguous) => behind = !contiguous,
                        None => return Ok(Stop::Overtaken),
                    }
                    if lead.position.0 - before.0 >= self.settings.busy as u64 {
                        shutdown.run_until_cancelled(tokio::time::sleep_until(began + self.settings.stride)).await;
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

    /// Connects, and waits until the projection is nobody's and its tables are of our version.
    async fn take_over(&self) -> Result<Lead, Error> {
        let name = self.projection.name();
        let mut said = false;
        loop {
            let mut connection = apply_options(&self.database).connect().await?;
            let locked: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock($1, hashtext($2))")
                .bind(LOCK_CLASS)
                .bind(name)
                .fetch_one(&mut connection)
                .await?;
            let why = if locked {
                match Checkpoint::load(&mut connection, name).await? {
                    None => "its tables were never made: run `inopsio migrate`",
                    Some(stored) if stored.version != self.projection.version() => {
                        "its tables are of another version: run `inopsio projection rebuild`"
                    }
                    Some(checkpoint) => {
                        let parked = Parked::load(&mut connection, name).await?;
                        let position = checkpoint.position;
                        return Ok(Lead { connection, checkpoint, parked, position, flush: None });
                    }
                }
            } else {
                // How far it is, that instance shows.
                self.board.set(self.index, Standing::default());
                "another instance applies it"
            };
            if !said {
                tracing::info!(projection = name, "standing by: {why}");
                said = true;
            }
            connection.close().await?;
            tokio::time::sleep(self.settings.stand_by).await;
        }
    }

    /// Takes over what the feed gave, with what else is ready. `Some(false)`: there is a gap before it, which the log fills.
    /// `None`: overtaken.
    async fn follow(&mut self, lead: &mut Lead, batch: Batch) -> Result<Option<bool>, Error> {
        let mut batches = vec![batch];
        let mut count = batches[0].len();
        while count < TOGETHER {
            let Ok(more) = self.feed.try_recv() else { break };
            count += more.len();
            batches.push(more);
        }
        let (events, contiguous) = following(lead.position, &batches);
        if let Some(last) = events.last().map(|event| event.position)
            && !self.take(lead, &events, last).await?
        {
            return Ok(None);
        }
        Ok(Some(contiguous))
    }

    /// Makes everything up to `last` visible. False: overtaken.
    async fn take(&self, lead: &mut Lead, events: &[&RecordedEvent], last: Position) -> Result<bool, Error> {
        let projection = self.projection.as_ref();
        let wanted: Vec<&RecordedEvent> =
            events.iter().copied().filter(|event| projection.wants(&event.event_type)).collect();
        if wanted.is_empty() {
            // Nothing changes here. The checkpoint may be stored with the next batch that does change something, or soon.
            lead.position = last;
            lead.flush.get_or_insert_with(|| Instant::now() + self.settings.flush);
            self.show(lead);
            return Ok(true);
        }
        let began = Instant::now();
        let spans = crate::tracing_context::spans(projection.name(), &wanted, self.settings.traced_events);
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
        let labels = self.labels();
        metrics::histogram!("inopsio_projection_apply_seconds", &labels).record(began.elapsed());
        metrics::counter!("inopsio_projection_events_total", &labels).increment(wanted.len() as u64);
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
        self.board.set(self.index, Standing { position: lead.position, active: true, failing: false });
        metrics::gauge!("inopsio_projection_parked_events", &self.labels()).set(lead.parked.events() as f64);
    }

    fn labels(&self) -> [(&'static str, &'static str); 2] {
        [("service", self.database.service.name()), ("projection", self.projection.name())]
    }
}

/// Projections find rows by their keys. A plan that was made while a table was small, or has no statistics yet, must not become
/// a scan of all of it for every batch.
fn apply_options(database: &Database) -> PgConnectOptions {
    database.options(Role::Project).disable_statement_logging().options([
        ("plan_cache_mode", "force_generic_plan"),
        ("enable_seqscan", "off"),
        ("enable_hashjoin", "off"),
        ("enable_mergejoin", "off"),
    ])
}

/// The events that follow on a position, without those that came before; and whether they are all, or a gap cuts them off.
fn following(position: Position, batches: &[Batch]) -> (Vec<&RecordedEvent>, bool) {
    let mut events = Vec::with_capacity(batches.iter().map(|batch| batch.len()).sum());
    let mut next = position.next();
    for event in batches.iter().flat_map(|batch| batch.iter()) {
        if event.position > next {
            return (events, false);
        }
        if event.position == next {
            next = next.next();
            events.push(event);
        }
    }
    (events, true)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn batch(positions: std::ops::RangeInclusive<u64>) -> Batch {
        let event = |position| RecordedEvent {
            tenant: testbed::tenant(),
            position: Position(position),
            event_id: uuid::Uuid::nil(),
            aggregate_type: "demo.lamp".to_owned(),
            aggregate_id: "hall".to_owned(),
            sequence: position,
            event_type: "demo.lamp.lit".to_owned(),
            event_version: 1,
            payload: "{}".into(),
            metadata: "{}".into(),
            occurred_at: DateTime::UNIX_EPOCH,
            recorded_at: DateTime::UNIX_EPOCH,
        };
        Arc::new(positions.map(event).collect())
    }

    fn after(position: u64, batches: &[Batch]) -> (Vec<u64>, bool) {
        let (events, contiguous) = following(Position(position), batches);
        (events.iter().map(|event| event.position.0).collect(), contiguous)
    }

    #[test]
    fn what_was_applied_is_passed_over_and_a_gap_is_seen() {
        assert_eq!(after(0, &[batch(1..=2), batch(3..=3)]), (vec![1, 2, 3], true));
        assert_eq!(after(2, &[batch(1..=4), batch(3..=5)]), (vec![3, 4, 5], true));
        assert_eq!(after(9, &[batch(1..=4)]), (vec![], true));
        assert_eq!(after(1, &[batch(3..=4)]), (vec![], false));
        assert_eq!(after(1, &[batch(2..=3), batch(5..=6)]), (vec![2, 3], false));
    }
}
