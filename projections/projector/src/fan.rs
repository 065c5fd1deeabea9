//! One feed for all projections of a process: from the relay while it is in this process, from the bus otherwise.

use std::time::Duration;

use eventstore::{EventStore, FeedError, Page};
use futures::StreamExt;
use kernel::{RecordedEvent, Service};
use nats::Bus;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

/// What the feed gave at once.
pub(crate) type Batch = Page;

/// The most bytes of a batch that is handed on whole: some dozens of them are kept for who is slow.
const WHOLE: usize = 2 << 20;

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
    let _ = sender.send(handed(batch));
}

/// What is handed on of a batch: of one that is large, only its last event. Whoever hears it finds a gap before it, and reads the log, which
/// is read a few large events at a time.
fn handed(batch: Batch) -> Batch {
    match batch.split_last() {
        Some((last, others)) if others.iter().map(RecordedEvent::bytes).sum::<usize>() > WHOLE => {
            Batch::new(vec![last.clone()])
        }
        _ => batch,
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use kernel::Position;

    use super::*;

    fn batch(events: u64, size: usize) -> Batch {
        let event = |position| RecordedEvent {
            tenant: testbed::tenant(),
            position: Position(position),
            event_id: uuid::Uuid::nil(),
            aggregate_type: "demo.lamp".to_owned(),
            aggregate_id: "hall".to_owned(),
            sequence: position,
            event_type: "demo.lamp.lit".to_owned(),
            event_version: 1,
            payload: vec![b' '; size].into(),
            metadata: "{}".into(),
            occurred_at: DateTime::UNIX_EPOCH,
            recorded_at: DateTime::UNIX_EPOCH,
        };
        Batch::new((1..=events).map(event).collect())
    }

    #[test]
    fn of_a_large_batch_only_the_last_event_is_handed_on_behind_a_gap() {
        let handed =
            |events, size| handed(batch(events, size)).iter().map(|event| event.position.0).collect::<Vec<_>>();
        assert_eq!(handed(3, 1 << 10), [1, 2, 3]);
        assert_eq!(handed(3, 1 << 20), [3]);
        assert_eq!(handed(1, 3 << 20), [1]);
    }
}
