//! Live events for subscriptions: one bus consumer per service, shared by all subscribers.

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures::{Stream, StreamExt};
use kernel::{RecordedEvent, Service, TenantId};
use nats::Bus;
use tokio::sync::{Mutex, broadcast};

/// How many events are buffered for a subscriber. One that lags further behind gets [`MissedEvents`].
const CAPACITY: usize = 4_096;

/// How often the consumer checks, while no events arrive, whether it still has subscribers.
const IDLE_CHECK: Duration = Duration::from_secs(5);

/// The pause before a failed consumer is restarted.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// An event, or the notice that some were missed.
type Item = Result<Arc<RecordedEvent>, MissedEvents>;
type Sender = broadcast::Sender<Item>;

/// The live events of one service. Cheap to clone.
#[derive(Clone)]
pub struct LiveEvents {
    bus: Bus,
    service: Service,
    events: Arc<Mutex<Weak<Sender>>>,
}

/// The number of events that are missing at this point of the stream, because the subscriber was too slow or the bus lost them. The
/// subscriber should query the current state again.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("{0} events were missed")]
pub struct MissedEvents(pub u64);

impl LiveEvents {
    /// The live events of a service. The consumer starts with the first subscription.
    pub fn new(bus: Bus, service: Service) -> Self {
        Self { bus, service, events: Arc::default() }
    }

    /// A tenant's events from now on, in order.
    pub async fn subscribe(
        &self,
        tenant: TenantId,
    ) -> Result<impl Stream<Item = Result<Arc<RecordedEvent>, MissedEvents>> + Send + use<>, nats::Error> {
        let (sender, receiver) = self.join().await?;
        Ok(futures::stream::unfold((sender, receiver), move |(sender, mut receiver)| async move {
            loop {
                let next = match receiver.recv().await {
                    Ok(Ok(event)) if event.tenant != tenant => continue,
                    Ok(item) => item,
                    Err(broadcast::error::RecvError::Lagged(missed)) => Err(MissedEvents(missed)),
                    Err(broadcast::error::RecvError::Closed) => return None,
                };
                return Some((next, (sender, receiver)));
            }
        }))
    }

    /// Joins the running consumer, or starts one. It runs as long as a subscriber holds its sender.
    async fn join(&self) -> Result<(Arc<Sender>, broadcast::Receiver<Item>), nats::Error> {
        let mut running = self.events.lock().await;
        if let Some(sender) = running.upgrade() {
            let receiver = sender.subscribe();
            return Ok((sender, receiver));
        }
        let last = self.bus.stream_state(self.service).await?.map(|state| state.last).unwrap_or_default();
        let start = kernel::Position(last).next();
        let (sender, receiver) = broadcast::channel(CAPACITY);
        let sender = Arc::new(sender);
        *running = Arc::downgrade(&sender);
        tokio::spawn(pump(self.bus.clone(), self.service, start, Arc::downgrade(&sender)));
        Ok((sender, receiver))
    }
}

/// Passes the events from the bus to the subscribers, until there are none left.
async fn pump(bus: Bus, service: Service, mut next: kernel::Position, subscribers: Weak<Sender>) {
    loop {
        let mut feed = std::pin::pin!(bus.feed(service, next));
        loop {
            let batch = tokio::time::timeout(IDLE_CHECK, feed.next()).await;
            let Some(sender) = subscribers.upgrade() else { return };
            match batch {
                Ok(Some(Ok(events))) => {
                    for event in events {
                        next = event.position.next();
                        // Fails if the last subscriber has just left, which is no error.
                        drop(sender.send(Ok(Arc::new(event))));
                    }
                }
                Ok(Some(Err(error))) => {
                    tracing::warn!(%service, %error, "the live feed failed and begins anew");
                    break;
                }
                Ok(None) => break,
                // Timeout: no events. The check above has seen that there are still subscribers.
                Err(_) => {}
            }
        }
        tokio::time::sleep(RETRY_PAUSE).await;
        // Events that the stream has lost or can't deliver would stop the next feed, too. So it skips to the end of the stream, and tells
        // the subscribers how many events they missed.
        if let Ok(Some(state)) = bus.stream_state(service).await
            && state.last >= next.0
        {
            let missed = state.last + 1 - next.0;
            next = kernel::Position(state.last).next();
            let Some(sender) = subscribers.upgrade() else { return };
            drop(sender.send(Err(MissedEvents(missed))));
        }
    }
}
