//! One feed for all projections of a process: from the relay while it is in this process, from the bus otherwise.

use std::time::Duration;

use eventstore::{EventStore, FeedError, Page};
use futures::StreamExt;
use kernel::Service;
use nats::Bus;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

/// What the feed gave at once.
pub(crate) type Batch = Page;

/// How long a feed that ended rests.
const REST: Duration = Duration::from_millis(500);
/// The same where the stream is another log's: somebody has to delete it, and each look costs the bus a consumer.
const ELSEWHERE: Duration = Duration::from_secs(5);

/// Hands every batch of the feed to all who listen. Who is slow misses the oldest ones, and reads the log instead; so the
/// memory that waiting batches take is bounded, and nobody waits for the slowest.
///
/// Where the relay is in this process its events are the same ones that the bus would bring back, and are not sent twice over
/// the wire. At each change from one to the other some may be missed or come twice; projections see both by the positions.
pub(crate) async fn run(
    bus: Bus,
    store: EventStore,
    service: Service,
    sender: broadcast::Sender<Batch>,
    shutdown: CancellationToken,
) {
    let mut relayed = store.relayed();
    let fan = async {
        loop {
            tokio::select! {
                biased;
                () = relayed.begins() => {
                    while let Some(page) = relayed.next().await {
                        give(&store, &sender, page);
                    }
                }
                rest = follow(&bus, &store, service, &sender) => {
                    // Whatever it was, the log has everything; the feed is only faster.
                    tokio::time::sleep(rest).await;
                }
            }
        }
    };
    shutdown.run_until_cancelled(fan).await;
}

/// The bus's feed, from the log's end: everything before is in the log anyway, where it can be read faster. For how long to let it rest
/// when it has ended.
async fn follow(bus: &Bus, store: &EventStore, service: Service, sender: &broadcast::Sender<Batch>) -> Duration {
    let head = match store.head().await {
        Ok(head) => head,
        Err(error) => {
            tracing::warn!(%service, %error, "the feed waits for the log");
            return REST;
        }
    };
    let mut rest = REST;
    let mut feed = Box::pin(store.feed(bus, head.next()));
    while let Some(batch) = feed.next().await {
        match batch {
            Ok(events) => give(store, sender, Page::new(events)),
            // The relay says so, again and again.
            Err(error @ FeedError::Foreign(_)) => {
                tracing::debug!(%service, %error, "projections read the log");
                rest = ELSEWHERE;
            }
            Err(error) => tracing::warn!(%service, %error, "the feed ended; projections read the log meanwhile"),
        }
    }
    rest
}

/// Hands a batch to all who listen.
fn give(store: &EventStore, sender: &broadcast::Sender<Batch>, batch: Batch) {
    store.forget_erased(&batch);
    // Nobody listening is no failure: they come back.
    let _ = sender.send(batch);
}
