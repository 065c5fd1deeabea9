//! The active relay: publishes the events that are in the log but not yet in the stream.

use std::time::Duration;

use futures::stream::{BoxStream, StreamExt};
use kernel::{Position, RecordedEvent, Service};
use nats::{Bus, PublishError, StreamSettings, StreamState};
use tokio::task::coop::unconstrained;
use tokio::time::{Instant, sleep};

use super::POLL_INTERVAL;
use super::source::Source;
use super::status::{Reporter, State};
use crate::channels::{self, Page};
use crate::{EventStore, Lock};

/// Pacing of publishes: after one of at least this many events, the next one begins this long after it began. A publish has a high fixed
/// cost, and each further event in it a low one. From [`BACKLOG`] events on there is a backlog, and the next publish follows at once.
const PACING: [(u64, Duration); 2] = [(64, Duration::from_millis(10)), (16, Duration::from_millis(5))];
const BACKLOG: u64 = 900;

/// The most wake-ups that are taken together. The client of the bus keeps no more.
const WAKES: usize = 1 << 16;

/// The pause after a failure.
const PAUSE: Duration = Duration::from_millis(200);

/// After this many consecutive failed rounds the relay connects to another server of the bus. A round that ran for at least [`HEALTHY_AFTER`]
/// resets the count.
const MAX_FAILURES: u32 = 4;
const HEALTHY_AFTER: Duration = Duration::from_secs(10);

/// The relay that holds the lock.
pub(super) struct Active<'a> {
    store: &'a EventStore,
    bus: &'a Bus,
    replicas: usize,
    reporter: &'a Reporter,
}

/// The state of the stream, and the last position of the log.
struct Ends {
    stream: StreamState,
    log: Position,
}

impl Ends {
    /// The last position in the stream.
    const fn published(&self) -> Position {
        Position(self.stream.last)
    }
}

/// Why publishing stopped.
enum RelayError {
    /// A transient failure.
    Transient(String),
    /// The bus did not answer; another one of its servers may.
    Unanswered(String),
    /// A failure that only an operator can resolve.
    Permanent(String),
}

impl From<nats::Error> for RelayError {
    fn from(error: nats::Error) -> Self {
        match error {
            nats::Error::Unavailable(_) => Self::Unanswered(error.to_string()),
            _ => Self::Transient(error.to_string()),
        }
    }
}

impl From<crate::Error> for RelayError {
    fn from(error: crate::Error) -> Self {
        Self::Transient(error.to_string())
    }
}

impl<'a> Active<'a> {
    pub(super) fn new(store: &'a EventStore, bus: &'a Bus, replicas: usize, reporter: &'a Reporter) -> Self {
        Self { store, bus, replicas, reporter }
    }

    /// Publishes until the lock is lost.
    pub(super) async fn run(&self, lock: &mut Lock) {
        tokio::select! {
            () = lock.lost() => {}
            () = self.rounds() => {}
        }
    }

    /// Publishes in rounds. Each one begins by reading the state of the stream.
    async fn rounds(&self) {
        let mut failures = 0;
        loop {
            let began = Instant::now();
            let outcome = self.round().await;
            failures = if began.elapsed() > HEALTHY_AFTER { 0 } else { failures + 1 };
            let (state, pause) = match outcome {
                Ok(()) => continue,
                Err(RelayError::Transient(reason)) => {
                    // It has failed repeatedly: perhaps this server is partitioned from the rest of the cluster.
                    if failures >= MAX_FAILURES {
                        self.bus.move_on().await;
                    }
                    (State::Waiting { reason }, PAUSE)
                }
                Err(RelayError::Unanswered(reason)) => {
                    self.bus.move_on().await;
                    (State::Waiting { reason }, PAUSE)
                }
                Err(RelayError::Permanent(reason)) => (State::Stuck { reason }, POLL_INTERVAL),
            };
            // Reported before the query below, which may take a while if it is the log that does not answer.
            self.reporter.report(state);
            // The lag includes events that are appended meanwhile.
            if let Ok(head) = self.store.head().await {
                self.reporter.set_head(head);
            }
            sleep(pause).await;
        }
    }

    /// Publishes until a publish is refused, or the stream is not where this relay left it.
    async fn round(&self) -> Result<(), RelayError> {
        self.ensure_replicas().await?;
        let ends = self.ends().await?;
        self.check_same_history(ends.stream).await?;
        let (mut published, mut head) = (ends.published(), ends.log);
        let mut source = Source::new(self.store);
        let mut wakes = wakes(self.bus, self.store.service()).await;
        let mut polled = Instant::now();
        loop {
            let began = Instant::now();
            let pages = source.after(published).await?;
            let last = pages.last().and_then(|page| page.last()).map_or(published, |event| event.position);
            head = head.max(last).max(*self.store.appended().borrow());
            self.reporter.progress(published, head);
            self.reporter.report(State::Active);
            if polled.elapsed() >= POLL_INTERVAL {
                let ends = self.ends().await?;
                if ends.published() != published {
                    return Ok(());
                }
                head = ends.log;
                polled = Instant::now();
            }
            if pages.is_empty() {
                tokio::select! {
                    () = source.wait_for_append() => {}
                    // Unconstrained, because the runtime hands out no more than some of them in a row.
                    Some(()) = unconstrained(wakes.next()) => source.request_read(),
                    () = sleep(POLL_INTERVAL) => source.request_read(),
                }
                continue;
            }
            let count = last.0 - published.0;
            // Local consumers need not wait for the bus: the events are committed in the log.
            for page in &pages {
                // Of a large page the receivers do not see every event.
                self.store.forget_erased(page);
                channels::send(&self.store.channels().relayed, page);
            }
            published = self.publish(&pages, published).await?;
            if let Some((_, interval)) = PACING.iter().find(|(busy, _)| (*busy..BACKLOG).contains(&count)) {
                tokio::time::sleep_until(began + *interval).await;
            }
        }
    }

    const fn settings(&self) -> StreamSettings {
        StreamSettings { replicas: self.replicas, first_seq: 1 }
    }

    /// Adjusts the number of replicas of the stream to the configured one. If the cluster refuses, publishing continues nevertheless.
    async fn ensure_replicas(&self) -> Result<(), RelayError> {
        let service = self.store.service();
        let Some(copies) = self.bus.stream_copies(service).await? else { return Ok(()) };
        if copies.wanted == self.replicas {
            return Ok(());
        }
        match self.bus.ensure_stream(service, self.settings()).await {
            Err(error @ nats::Error::Refused(_)) => {
                let replicas = self.replicas;
                tracing::warn!(%service, replicas, %error, "the stream has not as many copies as it should");
                Ok(())
            }
            ensured => Ok(ensured.map(drop)?),
        }
    }

    /// Reads the state of the stream and the last position of the log; creates the stream if it is missing. A stream that is ahead of the
    /// log is an error.
    async fn ends(&self) -> Result<Ends, RelayError> {
        let service = self.store.service();
        let stream = if let Some(stream) = self.bus.stream_state(service).await? {
            stream
        } else {
            // In a new installation there is no stream, and nothing is wrong.
            if self.store.head().await? > Position::START {
                tracing::warn!(%service, "there is no stream; making it and filling it from the log");
            }
            self.bus.ensure_stream(service, self.settings()).await?
        };
        // Read after the stream, so the log can only be further by now.
        let log = self.store.head().await?;
        if stream.last > log.0 {
            return Err(RelayError::Permanent(format!(
                "the stream ends at {}, the log at {log}: the log lost events that were published, or this is another log's \
                 stream; restore the log, or delete the stream so that it is filled anew",
                stream.last
            )));
        }
        Ok(Ends { stream, log })
    }

    /// Checks that the last message of the stream is the event that the log has at that position: otherwise the log was reset and has grown
    /// again, and is not the one that was published.
    async fn check_same_history(&self, stream: StreamState) -> Result<(), RelayError> {
        let at = Position(stream.last);
        // The stream is empty or does not have that message: there is nothing to compare.
        if at == Position::START || stream.first > at.0 {
            return Ok(());
        }
        let published = match self.bus.event_at(self.store.service(), at).await {
            Ok(Some(event)) => event,
            Ok(None) => {
                return Err(RelayError::Transient(format!("the stream does not have its message {at} any more")));
            }
            Err(nats::Error::Unreadable { reason, .. }) => {
                return Err(RelayError::Permanent(format!(
                    "the stream's message {at} is not an event of ours ({reason}); delete the stream so that it is filled anew"
                )));
            }
            Err(error) => return Err(error.into()),
        };
        let logged = self.store.read_after(Position(at.0 - 1), 1).await?.into_iter().next();
        if logged.as_ref().is_some_and(|event| event.event_id == published.event_id) {
            return Ok(());
        }
        Err(RelayError::Permanent(format!(
            "at {at} the stream has the event {}, the log {}: they are not of one history; delete the stream so that it is \
             filled anew",
            published.event_id,
            logged.map_or_else(|| "none".to_owned(), |event| event.event_id.to_string()),
        )))
    }

    async fn publish(&self, pages: &[Page], after: Position) -> Result<Position, RelayError> {
        let events: Vec<&RecordedEvent> = pages.iter().flat_map(|page| page.iter()).collect();
        match self.bus.publish(self.store.service(), events, after).await {
            Ok(published) => Ok(published),
            Err(error @ (PublishError::WrongSequence { .. } | PublishError::Unpublishable { .. })) => {
                Err(RelayError::Permanent(error.to_string()))
            }
            Err(error @ PublishError::Timeout { .. }) => Err(RelayError::Unanswered(error.to_string())),
            // The stream is not at the expected sequence: its state has to be read again.
            Err(error) => Err(RelayError::Transient(error.to_string())),
        }
    }
}

/// Wake-ups from other processes, where all that have come meanwhile are one: one read of the log finds what they are about. Never any if
/// the bus does not answer, then polling is the fallback.
async fn wakes(bus: &Bus, service: Service) -> BoxStream<'static, ()> {
    match bus.wakes(service).await {
        Ok(wakes) => wakes.ready_chunks(WAKES).map(drop).chain(futures::stream::pending()).boxed(),
        Err(error) => {
            tracing::debug!(%error, "no wake-ups from other processes");
            futures::stream::pending().boxed()
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use nats::Credentials;

    use super::*;

    #[tokio::test]
    async fn wake_ups_that_came_in_a_busy_time_are_one() {
        let nats = testbed::Nats::start().await;
        let bus = Bus::connect(&nats::Settings::new(nats.url(), Credentials::None, "test")).await.unwrap();
        let service = Service::new("crm");
        let mut wakes = wakes(&bus, service).await;
        for _ in 0..1_000 {
            bus.wake(service).await;
        }
        // The answer comes after them.
        bus.ping().await.unwrap();
        unconstrained(wakes.next()).await.unwrap();
        assert!(unconstrained(wakes.next()).now_or_never().is_none(), "there is another one");
    }
}
