//! In-process channels that pass events on, so that a consumer in the same process need not read back what was just written.
//!
//! The committer sends appended events to the relay, and the active relay sends published events to the projections of its process. Both
//! are only shortcuts: a consumer that misses events (it subscribed late, was slow, or another process wrote them) notices a gap in the
//! positions and reads the log.

use std::sync::Arc;

use kernel::RecordedEvent;
use tokio::sync::{broadcast, watch};

/// At least one event, with consecutive positions, shared by all receivers.
pub type Page = Arc<Vec<RecordedEvent>>;

/// A page of more bytes is not sent whole, because a channel keeps up to [`CAPACITY`] pages for a slow receiver.
const MAX_BYTES: usize = 2 << 20;

/// How many pages a receiver may lag behind before it misses one.
const CAPACITY: usize = 256;

/// The channels of a process.
#[derive(Clone)]
pub(crate) struct Channels {
    pub(crate) appended: broadcast::Sender<Page>,
    pub(crate) relayed: broadcast::Sender<Page>,
    pub(crate) relaying: watch::Sender<bool>,
}

impl Channels {
    pub(crate) fn new() -> Self {
        Self {
            appended: broadcast::channel(CAPACITY).0,
            relayed: broadcast::channel(CAPACITY).0,
            relaying: watch::channel(false).0,
        }
    }
}

/// Sends a page to the receivers of a channel. It fails when there is none, which is no error.
pub(crate) fn send(channel: &broadcast::Sender<Page>, page: &Page) {
    let _ = channel.send(whole_or_last(page));
}

/// Reduces a page that is too large to its last event. Receivers then find a gap before it and read the log, a few large events at a time.
fn whole_or_last(page: &Page) -> Page {
    match page.split_last() {
        Some((last, others)) if others.iter().map(RecordedEvent::bytes).sum::<usize>() > MAX_BYTES => {
            Page::new(vec![last.clone()])
        }
        _ => Page::clone(page),
    }
}

/// A receiver of all events of the service, in order, while the relay of this process is the active one.
pub struct Relayed {
    pages: broadcast::Receiver<Page>,
    relaying: watch::Receiver<bool>,
}

impl Relayed {
    pub(crate) fn of(channels: &Channels) -> Self {
        Self { pages: channels.relayed.subscribe(), relaying: channels.relaying.subscribe() }
    }

    /// Whether the relay of this process is active.
    pub fn active(&self) -> bool {
        *self.relaying.borrow()
    }

    /// Returns when the relay of this process is active.
    pub async fn begins(&mut self) {
        // The sender lives as long as the store, to which this receiver belongs.
        if self.relaying.wait_for(|relaying| *relaying).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// The next page; `None` if the relay of this process is not active any more. Pages may be missing.
    pub async fn next(&mut self) -> Option<Page> {
        loop {
            tokio::select! {
                biased;
                page = self.pages.recv() => match page {
                    Ok(page) => return Some(page),
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return None,
                },
                _ = self.relaying.wait_for(|relaying| !relaying) => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_large_page_only_the_last_event_is_sent_behind_a_gap() {
        let event = |size, position| RecordedEvent { payload: vec![b' '; size].into(), ..testbed::event(position) };
        let sent = |events: u64, size: usize| {
            let page = Page::new((1..=events).map(|position| event(size, position)).collect());
            whole_or_last(&page).iter().map(|event| event.position.0).collect::<Vec<_>>()
        };
        assert_eq!(sent(3, 1 << 10), [1, 2, 3]);
        assert_eq!(sent(3, 1 << 20), [3]);
        assert_eq!(sent(1, 3 << 20), [1]);
    }
}
