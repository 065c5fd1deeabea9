//! One feed of the bus for all projections of a process.

use std::sync::Arc;
use std::time::Duration;

use eventstore::EventStore;
use futures::StreamExt;
use kernel::{RecordedEvent, Service};
use nats::Bus;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

/// What the feed gave at once.
pub(crate) type Batch = Arc<Vec<RecordedEvent>>;

/// Hands every batch of the feed to all who listen. Who is slow misses the oldest ones, and reads the log instead; so the
/// memory that waiting batches take is bounded, and nobody waits for the slowest.
///
/// It begins at the log's end, since everything before is in the log anyway, where it can be read faster.
pub(crate) async fn run(
    bus: Bus,
    store: EventStore,
    service: Service,
    sender: broadcast::Sender<Batch>,
    shutdown: CancellationToken,
) {
    let fan = async {
        loop {
            follow(&bus, &store, service, &sender).await;
            // Whatever it was, the log has everything; the feed is only faster.
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    shutdown.run_until_cancelled(fan).await;
}

async fn follow(bus: &Bus, store: &EventStore, service: Service, sender: &broadcast::Sender<Batch>) {
    let head = match store.head().await {
        Ok(head) => head,
        Err(error) => return tracing::warn!(%service, %error, "the feed waits for the log"),
    };
    let mut feed = Box::pin(bus.feed(service, head.next()));
    while let Some(batch) = feed.next().await {
        match batch {
            // Nobody listening is no failure: they come back.
            Ok(events) => drop(sender.send(Arc::new(events))),
            Err(error) => tracing::warn!(%service, %error, "the feed ended; projections read the log meanwhile"),
        }
    }
}
