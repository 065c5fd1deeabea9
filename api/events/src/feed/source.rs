//! The events of one tenant in one service after a position: first from the log, then live from the bus.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use eventstore::{EventSlice, EventStore};
use face::{MissedEvents, Runtime};
use futures::stream::{BoxStream, StreamExt};
use kernel::{Position, RecordedEvent, Service, TenantId};
use tokio::time::{Instant, timeout_at};

/// Number of events that are read from the log at once.
const PAGE: u32 = 500;

/// What a source yields.
#[derive(Debug)]
pub enum Step {
    /// An event.
    Event(Arc<RecordedEvent>),
    /// The log was read up to this position, and has no further event of this tenant.
    Reached(Position),
}

/// From where a source reads.
enum Reading {
    /// The log up to the position `to`, and then the live subscription; if subscribing failed, there is none.
    Log { to: Position, live: Option<Live> },
    /// The live subscription to the bus.
    Live(Live),
    /// Neither, because subscribing to the bus failed. At this time the source tries again, and reads the log.
    Waiting(Instant),
}

type Live = BoxStream<'static, Result<Arc<RecordedEvent>, MissedEvents>>;

/// Yields the events of one tenant in one service.
pub struct Source {
    runtime: Runtime,
    tenant: TenantId,
    /// The position up to which all events were yielded.
    after: Position,
    /// Events that were read from the log and are not yielded yet.
    page: VecDeque<RecordedEvent>,
    reading: Option<Reading>,
    /// Interval at which the log is polled while the bus delivers nothing.
    poll_interval: Duration,
}

impl Source {
    /// A source of the events after a position.
    pub fn new(runtime: Runtime, tenant: TenantId, after: Position, poll_interval: Duration) -> Self {
        Self { runtime, tenant, after, page: VecDeque::new(), reading: None, poll_interval }
    }

    /// The service to which the events belong.
    pub fn service(&self) -> Service {
        self.runtime.service
    }

    /// Waits for the next step, without a time limit.
    ///
    /// # Errors
    /// The log does not answer.
    pub async fn next(&mut self) -> Result<Step, eventstore::Error> {
        loop {
            if let Some(event) = self.page.pop_front() {
                self.after = event.position;
                return Ok(Step::Event(Arc::new(event)));
            }
            match self.reading.take() {
                None => self.reading = Some(subscribe(&self.runtime, self.tenant).await?),
                Some(Reading::Log { to, live }) => {
                    let EventSlice { events, more, .. } =
                        self.runtime.store.tenant_after(self.tenant, self.after, to, PAGE).await?;
                    if more {
                        self.reading = Some(Reading::Log { to, live });
                        self.page = events.into();
                        continue;
                    }
                    self.reading = Some(live.map_or_else(|| self.wait(), Reading::Live));
                    if events.is_empty() {
                        let moved = to > self.after;
                        self.after = to.max(self.after);
                        if moved {
                            return Ok(Step::Reached(to));
                        }
                    }
                    self.page = events.into();
                }
                Some(Reading::Live(mut live)) => {
                    match timeout_at(Instant::now() + self.poll_interval, live.next()).await {
                        Ok(Some(Ok(event))) => {
                            self.reading = Some(Reading::Live(live));
                            if event.position > self.after {
                                self.after = event.position;
                                return Ok(Step::Event(decrypted(&self.runtime.store, event).await?));
                            }
                        }
                        // The subscription was too slow and missed events, or has ended: continue in the log, which has all of them.
                        Ok(Some(Err(MissedEvents(_))) | None) => {}
                        // The bus has been silent for the poll interval: check in the log whether there were really no events.
                        Err(_) => {
                            let to = self.runtime.store.head().await?;
                            self.reading = Some(Reading::Log { to, live: Some(live) });
                        }
                    }
                }
                Some(Reading::Waiting(until)) => {
                    self.reading = Some(Reading::Waiting(until));
                    tokio::time::sleep_until(until).await;
                    self.reading = None;
                }
            }
        }
    }

    fn wait(&self) -> Reading {
        Reading::Waiting(Instant::now() + self.poll_interval)
    }
}

/// Decrypts the personal data of an event from the bus, which carries events as they are stored.
async fn decrypted(store: &EventStore, event: Arc<RecordedEvent>) -> Result<Arc<RecordedEvent>, eventstore::Error> {
    let opened = store.opened_copies(&[&event]).await?.and_then(|mut opened| opened.pop());
    Ok(opened.map_or(event, Arc::new))
}

/// Subscribes to the bus, then reads the end position of the log: events that the subscription does not deliver are not after it.
async fn subscribe(runtime: &Runtime, tenant: TenantId) -> Result<Reading, eventstore::Error> {
    let live = match runtime.live.subscribe(tenant).await {
        Ok(live) => Some(live.boxed()),
        Err(error) => {
            tracing::debug!(service = %runtime.service, %error, "a feed goes on without the bus");
            None
        }
    };
    Ok(Reading::Log { to: runtime.store.head().await?, live })
}
