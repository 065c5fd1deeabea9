//! Events that pass through this process, so that nobody has to read back what was just written.
//!
//! The committer lets what it wrote pass to the relay, the active relay lets what it publishes pass to the projections of
//! its process. Both are a shortcut only: who misses something (it came late, it was slow, another process wrote) sees a gap
//! in the positions and reads the log.

use std::sync::Arc;

use kernel::RecordedEvent;
use tokio::sync::{broadcast, watch};

/// Events that follow on each other, at least one, shared by all who look at them.
pub type Page = Arc<Vec<RecordedEvent>>;

/// How many pages a reader may be behind before it misses one.
const PAGES: usize = 256;

/// The two shortcuts of a process.
#[derive(Clone)]
pub(crate) struct Passing {
    pub(crate) appended: broadcast::Sender<Page>,
    pub(crate) relayed: broadcast::Sender<Page>,
    pub(crate) relaying: watch::Sender<bool>,
}

impl Passing {
    pub(crate) fn new() -> Self {
        Self {
            appended: broadcast::channel(PAGES).0,
            relayed: broadcast::channel(PAGES).0,
            relaying: watch::channel(false).0,
        }
    }
}

/// All events of the service in order, as the relay of this process passes them on: while it is the active one.
pub struct Relayed {
    pages: broadcast::Receiver<Page>,
    relaying: watch::Receiver<bool>,
}

impl Relayed {
    pub(crate) fn of(passing: &Passing) -> Self {
        Self { pages: passing.relayed.subscribe(), relaying: passing.relaying.subscribe() }
    }

    /// Whether the relay of this process is the active one.
    pub fn active(&self) -> bool {
        *self.relaying.borrow()
    }

    /// Returns when the relay of this process is the active one.
    pub async fn begins(&mut self) {
        // The sender lives as long as the store, whose reader we are.
        if self.relaying.wait_for(|relaying| *relaying).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// The next page; none when the relay of this process is not the active one any more. Pages may be missing.
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
