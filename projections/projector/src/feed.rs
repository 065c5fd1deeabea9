//! The event feed that all projections of a process share. It comes from the relay while the active relay runs in this process, and from
//! the bus otherwise.

use std::time::Duration;

use eventstore::{EventStore, FeedError, Page};
use futures::StreamExt;
use kernel::{RecordedEvent, Service};
use nats::Bus;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

/// Consecutive events that the feed delivers together.
pub(crate) type Batch = Page;

/// A batch of more bytes is not broadcast whole, because dozens of batches are kept for a slow worker.
const MAX_BYTES: usize = 2 << 20;

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
    let mut relayed = store.relayed();
    let forwarding = async {
        loop {
            tokio::select! {
                biased;
                () = relayed.begins() => {
                    while let Some(page) = relayed.next().await {
                        send(&store, &sender, page);
                    }
                }
                pause = follow(&bus, &store, service, &sender) => {
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
async fn follow(bus: &Bus, store: &EventStore, service: Service, sender: &broadcast::Sender<Batch>) -> Duration {
    let head = match store.head().await {
        Ok(head) => head,
        Err(error) => {
            tracing::warn!(%service, %error, "the feed waits for the log");
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
    let _ = sender.send(whole_or_last(batch));
}

/// Reduces a batch that is too large to its last event. Workers then find a gap before it and read the log, a few large events at a time.
fn whole_or_last(batch: Batch) -> Batch {
    match batch.split_last() {
        Some((last, others)) if others.iter().map(RecordedEvent::bytes).sum::<usize>() > MAX_BYTES => {
            Batch::new(vec![last.clone()])
        }
        _ => batch,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(events: u64, size: usize) -> Batch {
        let event = |position| RecordedEvent { payload: vec![b' '; size].into(), ..testbed::event(position) };
        Batch::new((1..=events).map(event).collect())
    }

    #[test]
    fn of_a_large_batch_only_the_last_event_is_sent_behind_a_gap() {
        let sent =
            |events, size| whole_or_last(batch(events, size)).iter().map(|event| event.position.0).collect::<Vec<_>>();
        assert_eq!(sent(3, 1 << 10), [1, 2, 3]);
        assert_eq!(sent(3, 1 << 20), [3]);
        assert_eq!(sent(1, 3 << 20), [1]);
    }
}
