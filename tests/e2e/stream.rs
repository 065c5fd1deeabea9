//! Checks that the stream equals the log.

use std::pin::pin;
use std::time::Duration;

use futures::StreamExt;
use kernel::{Position, RecordedEvent};
use nats::{Bus, StreamState};
use testbed::eventually;

use crate::world::CRM;

/// Waits until the stream has as many messages as the log has events, and compares them one by one: position (the message's sequence), ids,
/// times, and the bytes of payload and metadata.
pub async fn assert_is(bus: &Bus, log: &[RecordedEvent]) {
    ends_at(bus, log.len() as u64).await;
    let mut feed = pin!(bus.feed(CRM, Position(1)));
    let mut compared = 0;
    while compared < log.len() {
        let batch = tokio::time::timeout(Duration::from_secs(30), feed.next()).await.expect("the stream has no more");
        for message in batch.unwrap().unwrap() {
            assert_eq!(message, log[compared], "the message at sequence {} is not the log's event", compared + 1);
            compared += 1;
        }
    }
    println!("{compared} messages of the stream equal the log");
}

/// Waits until the stream has exactly the positions from 1 to this one.
pub async fn ends_at(bus: &Bus, last: u64) {
    eventually(&format!("the stream is filled up to {last}"), async || {
        let state = bus.stream_state(CRM).await.ok()??;
        (state == StreamState { first: 1, last }).then_some(())
    })
    .await;
}
