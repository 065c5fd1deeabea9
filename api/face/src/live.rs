//! Events as they happen, for subscriptions: one consumer of the bus a service, shared by all subscribers.

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures::{Stream, StreamExt};
use kernel::{RecordedEvent, Service, TenantId};
use nats::Bus;
use tokio::sync::{Mutex, broadcast};

/// How many events a subscriber may be behind before it is told that it missed some.
const BEHIND: usize = 4_096;

/// How often it is looked whether anybody still listens, while nothing happens.
const LOOK: Duration = Duration::from_secs(5);

/// How long a feed that failed rests before it begins anew.
const PAUSE: Duration = Duration::from_millis(500);

/// An event, or that some were missed.
type Item = Result<Arc<RecordedEvent>, Missed>;
type Sender = broadcast::Sender<Item>;

/// The live events of one service. Cheap to clone.
#[derive(Clone)]
pub struct Live {
    bus: Bus,
    service: Service,
    events: Arc<Mutex<Weak<Sender>>>,
}

/// Some events are missing from here on, because the subscriber was too slow or the bus lost them: it should read anew.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("{0} events were missed")]
pub struct Missed(pub u64);

impl Live {
    /// The live events of a service; nothing is consumed before the first subscription.
    pub fn new(bus: Bus, service: Service) -> Self {
        Self { bus, service, events: Arc::default() }
    }

    /// A tenant's events from now on, in order.
    pub async fn subscribe(
        &self,
        tenant: TenantId,
    ) -> Result<impl Stream<Item = Result<Arc<RecordedEvent>, Missed>> + Send + use<>, nats::Error> {
        let (sender, receiver) = self.join().await?;
        Ok(futures::stream::unfold((sender, receiver), move |(sender, mut receiver)| async move {
            loop {
                let next = match receiver.recv().await {
                    Ok(Ok(event)) if event.tenant != tenant => continue,
                    Ok(item) => item,
                    Err(broadcast::error::RecvError::Lagged(missed)) => Err(Missed(missed)),
                    Err(broadcast::error::RecvError::Closed) => return None,
                };
                return Some((next, (sender, receiver)));
            }
        }))
    }

    /// Joins the consumer that runs, or starts one. It runs as long as a subscriber holds its sender.
    async fn join(&self) -> Result<(Arc<Sender>, broadcast::Receiver<Item>), nats::Error> {
        let mut running = self.events.lock().await;
        if let Some(sender) = running.upgrade() {
            let receiver = sender.subscribe();
            return Ok((sender, receiver));
        }
        let last = self.bus.stream_state(self.service).await?.map(|state| state.last).unwrap_or_default();
        let start = kernel::Position(last).next();
        let (sender, receiver) = broadcast::channel(BEHIND);
        let sender = Arc::new(sender);
        *running = Arc::downgrade(&sender);
        tokio::spawn(pump(self.bus.clone(), self.service, start, Arc::downgrade(&sender)));
        Ok((sender, receiver))
    }
}

/// Hands on what happens, until nobody listens.
async fn pump(bus: Bus, service: Service, mut next: kernel::Position, subscribers: Weak<Sender>) {
    loop {
        let mut feed = std::pin::pin!(bus.feed(service, next));
        loop {
            let batch = tokio::time::timeout(LOOK, feed.next()).await;
            let Some(sender) = subscribers.upgrade() else { return };
            match batch {
                Ok(Some(Ok(events))) => {
                    for event in events {
                        next = event.position.next();
                        // No receiver: the last one is just leaving.
                        drop(sender.send(Ok(Arc::new(event))));
                    }
                }
                Ok(Some(Err(error))) => {
                    tracing::warn!(%service, %error, "the live feed failed and begins anew");
                    break;
                }
                Ok(None) => break,
                // Nothing happens; the subscribers may be gone all the same.
                Err(_) => {}
            }
        }
        tokio::time::sleep(PAUSE).await;
        // What the stream has lost, or can't give, would stop the next feed, too: it is passed over, and said so.
        if let Ok(Some(state)) = bus.stream_state(service).await
            && state.last >= next.0
        {
            let missed = state.last + 1 - next.0;
            next = kernel::Position(state.last).next();
            let Some(sender) = subscribers.upgrade() else { return };
            drop(sender.send(Err(Missed(missed))));
        }
    }
}
