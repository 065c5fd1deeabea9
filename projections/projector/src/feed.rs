//! The event feed that all projections of a process share. It comes from the relay while the active relay runs in this process, and from
//! the bus otherwise.

use std::time::Duration;

use eventstore::{EventStore, FeedError, Page, Seldom};
use futures::StreamExt;
use kernel::Service;
use nats::Bus;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

/// Consecutive events that the feed delivers together.
pub(crate) type Batch = Page;

/// The pause before a feed that ended is opened again.
const PAUSE: Duration = Duration::from_millis(500);
/// The pause when the stream belongs to another log. An operator has to delete that stream, and each attempt costs the bus a consumer.
const FOREIGN_STREAM_PAUSE: Duration = Duration::from_secs(5);

/// Broadcasts every batch of the feed to the workers, until `shutdown`. A slow worker loses the oldest batches and reads the log instead;
/// so the memory of queued batches is bounded, and no worker waits for the slowest.
///
/// While the active relay runs in this process, its batches are used directly, since the bus would only send the same events back. At each
/// change between relay and bus, events may be missed or come twice; workers detect both by the positions.
pub(crate) async fn run(
    bus: Bus,
    store: EventStore,
    service: Service,
    sender: broadcast::Sender<Batch>,
    shutdown: CancellationToken,
) {
    let (mut relayed, seldom) = (store.relayed(), Seldom::default());
    let forwarding = async {
        loop {
            tokio::select! {
                biased;
                () = relayed.begins() => {
                    while let Some(page) = relayed.next().await {
                        send(&store, &sender, page);
                    }
                }
                pause = follow(&bus, &store, service, &sender, &seldom) => {
                    // Nothing is lost while the feed pauses: the log has everything, the feed is only faster.
                    tokio::time::sleep(pause).await;
                }
            }
        }
    };
    shutdown.run_until_cancelled(forwarding).await;
}

/// Broadcasts the bus's feed from the end of the log on, until it ends; earlier events are read from the log, which is faster. Returns how
/// long to pause before the next attempt.
async fn follow(
    bus: &Bus,
    store: &EventStore,
    service: Service,
    sender: &broadcast::Sender<Batch>,
    seldom: &Seldom,
) -> Duration {
    let head = match store.head().await {
        Ok(head) => head,
        Err(error) => {
            if seldom.is_due() {
                tracing::warn!(%service, %error, "the feed waits for the log");
            }
            return PAUSE;
        }
    };
    let mut pause = PAUSE;
    let mut feed = Box::pin(store.feed(bus, head.next()));
    while let Some(batch) = feed.next().await {
        match batch {
            Ok(events) => send(store, sender, Page::new(events)),
            // Only at debug level, because the relay logs it repeatedly.
            Err(error @ FeedError::Foreign(_)) => {
                tracing::debug!(%service, %error, "projections read the log");
                pause = FOREIGN_STREAM_PAUSE;
            }
            Err(error) => tracing::warn!(%service, %error, "the feed ended; projections read the log meanwhile"),
        }
    }
    pause
}

/// Sends a batch to all workers.
fn send(store: &EventStore, sender: &broadcast::Sender<Batch>, batch: Batch) {
    store.forget_erased(&batch);
    // It fails when there is no receiver, which is no error: workers subscribe again.
    let _ = sender.send(batch);
}
