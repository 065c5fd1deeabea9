//! Events as they happen, for subscriptions: one consumer of the bus a service, shared by all subscribers.

use std::sync::{Arc, Weak};

use futures::{Stream, StreamExt};
use kernel::{RecordedEvent, Service, TenantId};
use nats::Bus;
use tokio::sync::{Mutex, broadcast};

/// How many events a subscriber may be behind before it is told that it missed some.
const BEHIND: usize = 4_096;

/// The live events of one service. Cheap to clone.
#[derive(Clone)]
pub struct Live {
    bus: Bus,
    service: Service,
    events: Arc<Mutex<Weak<broadcast::Sender<Arc<RecordedEvent>>>>>,
}

/// A subscriber that was too slow: some events are missing from here on, so it should read anew.
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
                    Ok(event) if event.tenant != tenant => continue,
                    Ok(event) => Ok(event),
                    Err(broadcast::error::RecvError::Lagged(missed)) => Err(Missed(missed)),
                    Err(broadcast::error::RecvError::Closed) => return None,
                };
                return Some((next, (sender, receiver)));
            }
        }))
    }

    /// Joins the consumer that runs, or starts one. It runs as long as a subscriber holds its sender.
    async fn join(
        &self,
    ) -> Result<(Arc<broadcast::Sender<Arc<RecordedEvent>>>, broadcast::Receiver<Arc<RecordedEvent>>), nats::Error>
    {
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

async fn pump(
    bus: Bus,
    service: Service,
    start: kernel::Position,
    subscribers: Weak<broadcast::Sender<Arc<RecordedEvent>>>,
) {
    let mut feed = std::pin::pin!(bus.feed(service, start));
    while let Some(batch) = feed.next().await {
        let Some(sender) = subscribers.upgrade() else { return };
        match batch {
            Ok(events) => {
                for event in events {
                    // No receiver: the last one is just leaving.
                    drop(sender.send(Arc::new(event)));
                }
            }
            Err(error) => tracing::warn!(%service, %error, "the live feed failed and goes on"),
        }
    }
}
