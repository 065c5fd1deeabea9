//! [`Source`]: the events for the active relay, from this process's committer or from the log.

use kernel::Position;
use tokio::sync::broadcast::{self, error::TryRecvError};

use crate::channels::Page;
use crate::{Error, EventStore};

/// The most events taken at a time, from the log or from the committer.
const PAGE: usize = 1_000;

/// Supplies the events after a position. Events that this process has just appended are taken from the channel, if they directly follow
/// those that were published. All others are read from the log: older ones, those of other processes, and those that the channel dropped.
pub(super) struct Source<'a> {
    store: &'a EventStore,
    written: broadcast::Receiver<Page>,
    /// A page from the channel that does not directly follow: events before it are only in the log.
    beyond: Option<Page>,
    /// Whether the log may have events that the channel does not have.
    look: bool,
}

impl<'a> Source<'a> {
    /// Begins by reading the log.
    pub(super) fn new(store: &'a EventStore) -> Self {
        Self { store, written: store.channels().appended.subscribe(), beyond: None, look: true }
    }

    /// The available events after a position, as pages with consecutive positions; empty if there are none.
    pub(super) async fn after(&mut self, position: Position) -> Result<Vec<Page>, Error> {
        if !self.look {
            let pages = self.written_after(position);
            if !pages.is_empty() || !self.look {
                return Ok(pages);
            }
        }
        let events = self.store.read_after(position, PAGE as u32).await?;
        self.look = events.len() == PAGE;
        Ok(if events.is_empty() { Vec::new() } else { vec![Page::new(events)] })
    }

    /// Waits until this process has appended something.
    pub(super) async fn written(&mut self) {
        match self.written.recv().await {
            Ok(page) => self.beyond = Some(page),
            Err(broadcast::error::RecvError::Lagged(_)) => self.look = true,
            // The sender lives as long as the store.
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }

    /// Requests a look into the log, which may have events of another process.
    pub(super) fn look(&mut self) {
        self.look = true;
    }

    fn written_after(&mut self, position: Position) -> Vec<Page> {
        let (mut pages, mut count, mut reached) = (Vec::new(), 0, position);
        while count < PAGE {
            let page = match self.beyond.take().map_or_else(|| self.written.try_recv(), Ok) {
                Ok(page) => page,
                Err(TryRecvError::Lagged(_)) => {
                    self.look = true;
                    break;
                }
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            };
            let (Some(first), Some(last)) = (page.first(), page.last()) else { continue };
            if last.position <= reached {
                continue;
            }
            if first.position != reached.next() {
                self.look = true;
                self.beyond = Some(page);
                break;
            }
            reached = last.position;
            count += page.len();
            pages.push(page);
        }
        pages
    }
}
