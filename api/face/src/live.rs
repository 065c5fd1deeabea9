//! Live events for subscriptions: one bus consumer per service, shared by all subscribers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use eventstore::supervised;
use futures::{Stream, StreamExt};
use kernel::{Position, RecordedEvent, Service, TenantId};
use nats::Bus;
use tokio::sync::{Mutex, broadcast};
use tokio_util::sync::CancellationToken;

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
        let (sender, receiver) = broadcast::channel(CAPACITY);
        let sender = Arc::new(sender);
        *running = Arc::downgrade(&sender);
        let pump = Pump {
            bus: self.bus.clone(),
            service: self.service,
            next: Arc::new(AtomicU64::new(Position(last).next().0)),
            subscribers: Arc::downgrade(&sender),
        };
        let mut failed = false;
        // It ends with its last subscriber.
        let pumping = supervised(format!("live events/{}", self.service), CancellationToken::new(), move |_| {
            pump.clone().run(std::mem::replace(&mut failed, true))
        });
        tokio::spawn(pumping);
        Ok((sender, receiver))
    }
}

/// Passes the events from the bus to the subscribers of a service.
#[derive(Clone)]
struct Pump {
    bus: Bus,
    service: Service,
    /// The position of the next event; shared by clones.
    next: Arc<AtomicU64>,
    subscribers: Weak<Sender>,
}

impl Pump {
    /// Runs until there are no subscribers left. `failed`: it ran before, and came to an end that it should not have.
    async fn run(self, mut failed: bool) {
        loop {
            if failed {
                tokio::time::sleep(RETRY_PAUSE).await;
                if !self.skip().await {
                    return;
                }
            }
            failed = true;
            let mut feed = std::pin::pin!(self.bus.feed(self.service, Position(self.next.load(Ordering::Relaxed))));
            loop {
                let batch = tokio::time::timeout(IDLE_CHECK, feed.next()).await;
                let Some(sender) = self.subscribers.upgrade() else { return };
                match batch {
                    Ok(Some(Ok(events))) => {
                        for event in events {
                            self.next.store(event.position.next().0, Ordering::Relaxed);
                            // Fails if the last subscriber has just left, which is no error.
                            drop(sender.send(Ok(Arc::new(event))));
                        }
                    }
                    Ok(Some(Err(error))) => {
                        tracing::warn!(service = %self.service, %error, "the live feed failed and begins anew");
                        break;
                    }
                    Ok(None) => break,
                    // Timeout: no events. The check above has seen that there are still subscribers.
                    Err(_) => {}
                }
            }
        }
    }

    /// Skips to the end of the stream, and tells the subscribers how many events they missed: events that the stream has lost or can't
    /// deliver would stop the next feed, too. False: there are no subscribers left.
    async fn skip(&self) -> bool {
        let next = self.next.load(Ordering::Relaxed);
        if let Ok(Some(state)) = self.bus.stream_state(self.service).await
            && state.last >= next
        {
            self.next.store(Position(state.last).next().0, Ordering::Relaxed);
            let Some(sender) = self.subscribers.upgrade() else { return false };
            drop(sender.send(Err(MissedEvents(state.last + 1 - next))));
        }
        true
    }
}
