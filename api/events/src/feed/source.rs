//! One service's events of a tenant, from a position on: from the log, then as they happen.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use eventstore::{EventSlice, EventStore};
use face::{Missed, Runtime};
use futures::stream::{BoxStream, StreamExt};
use kernel::{Position, RecordedEvent, Service, TenantId};
use tokio::time::{Instant, timeout_at};

/// Events read from the log at once.
const PAGE: u32 = 500;

/// What a source gives.
#[derive(Debug)]
pub enum Step {
    /// An event.
    Event(Arc<RecordedEvent>),
    /// There is nothing of this tenant up to here.
    Reached(Position),
}

/// What a source reads from.
enum Reading {
    /// The log, up to where it ended when the bus was asked.
    Log { to: Position, live: Option<Live> },
    /// The bus.
    Live(Live),
    /// Neither: the bus did not answer. The log is looked at again then.
    Resting(Instant),
}

type Live = BoxStream<'static, Result<Arc<RecordedEvent>, Missed>>;

/// One service's events of a tenant.
pub struct Source {
    runtime: Runtime,
    tenant: TenantId,
    /// Everything up to here was given.
    after: Position,
    /// Read, not given yet.
    page: VecDeque<RecordedEvent>,
    reading: Option<Reading>,
    /// How often the log is looked at when the bus says nothing.
    look: Duration,
}

impl Source {
    /// The events after a position.
    pub fn new(runtime: Runtime, tenant: TenantId, after: Position, look: Duration) -> Self {
        Self { runtime, tenant, after, page: VecDeque::new(), reading: None, look }
    }

    /// Whose events these are.
    pub fn service(&self) -> Service {
        self.runtime.service
    }

    /// What comes next, however long it takes. An error is the log's, which did not answer.
    pub async fn next(&mut self) -> Result<Step, eventstore::Error> {
        loop {
            if let Some(event) = self.page.pop_front() {
                self.after = event.position;
                return Ok(Step::Event(Arc::new(event)));
            }
            match self.reading.take() {
                None => self.reading = Some(begin(&self.runtime, self.tenant).await?),
                Some(Reading::Log { to, live }) => {
                    let EventSlice { events, more, .. } =
                        self.runtime.store.tenant_after(self.tenant, self.after, to, PAGE).await?;
                    if more {
                        self.reading = Some(Reading::Log { to, live });
                        self.page = events.into();
                        continue;
                    }
                    self.reading = Some(live.map_or_else(|| self.rest(), Reading::Live));
                    if events.is_empty() {
                        let moved = to > self.after;
                        self.after = to.max(self.after);
                        if moved {
                            return Ok(Step::Reached(to));
                        }
                    }
                    self.page = events.into();
                }
                Some(Reading::Live(mut live)) => match timeout_at(Instant::now() + self.look, live.next()).await {
                    Ok(Some(Ok(event))) => {
                        self.reading = Some(Reading::Live(live));
                        if event.position > self.after {
                            self.after = event.position;
                            return Ok(Step::Event(opened(&self.runtime.store, event).await?));
                        }
                    }
                    // Too slow for the bus, or the bus has lost some: the log has all of them.
                    Ok(Some(Err(Missed(_))) | None) => {}
                    // Nothing was heard for so long: the log knows whether there was nothing.
                    Err(_) => {
                        let to = self.runtime.store.head().await?;
                        self.reading = Some(Reading::Log { to, live: Some(live) });
                    }
                },
                Some(Reading::Resting(until)) => {
                    self.reading = Some(Reading::Resting(until));
                    tokio::time::sleep_until(until).await;
                    self.reading = None;
                }
            }
        }
    }

    fn rest(&self) -> Reading {
        Reading::Resting(Instant::now() + self.look)
    }
}

/// An event of the bus, which has personal data as it is stored: sealed.
async fn opened(store: &EventStore, event: Arc<RecordedEvent>) -> Result<Arc<RecordedEvent>, eventstore::Error> {
    let opened = store.opened_copies(&[&event]).await?.and_then(|mut opened| opened.pop());
    Ok(opened.map_or(event, Arc::new))
}

/// Subscribes, then looks where the log ends: what the subscription does not bring is before that.
async fn begin(runtime: &Runtime, tenant: TenantId) -> Result<Reading, eventstore::Error> {
    let live = match runtime.live.subscribe(tenant).await {
        Ok(live) => Some(live.boxed()),
        Err(error) => {
            tracing::debug!(service = %runtime.service, %error, "a feed goes on without the bus");
            None
        }
    };
    Ok(Reading::Log { to: runtime.store.head().await?, live })
}
