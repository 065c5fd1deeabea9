//! [`Source`]: the events for the active relay, from this process's committer or from the log.

use kernel::{Position, RecordedEvent};
use tokio::sync::broadcast::{self, error::TryRecvError};

use crate::channels::Page;
use crate::{Error, EventSlice, EventStore, PAGE_BYTES};

/// The most events taken at a time, from the log or from the committer. Of large events, fewer are taken: about [`PAGE_BYTES`].
const PAGE: usize = 1_000;

/// Supplies the events after a position. Events that this process has just appended are taken from the channel, if they directly follow
/// those that were published. All others are read from the log: older ones, those of other processes, and those that the channel dropped.
pub(super) struct Source<'a> {
    store: &'a EventStore,
    appended: broadcast::Receiver<Page>,
    /// A page from the channel that does not directly follow: events before it are only in the log.
    not_adjacent: Option<Page>,
    /// Whether the log may have events that the channel does not have.
    read_log: bool,
}

impl<'a> Source<'a> {
    /// Begins by reading the log.
    pub(super) fn new(store: &'a EventStore) -> Self {
        Self { store, appended: store.channels().appended.subscribe(), not_adjacent: None, read_log: true }
    }

    /// The available events after a position, as pages with consecutive positions; empty if there are none.
    pub(super) async fn after(&mut self, position: Position) -> Result<Vec<Page>, Error> {
        if !self.read_log {
            let pages = self.appended_after(position);
            if !pages.is_empty() || !self.read_log {
                return Ok(pages);
            }
        }
        let EventSlice { events, more, .. } = self.store.slice_after(position, PAGE as u32).await?;
        self.read_log = more;
        Ok(if events.is_empty() { Vec::new() } else { vec![Page::new(events)] })
    }

    /// Waits until this process has appended something.
    pub(super) async fn wait_for_append(&mut self) {
        match self.appended.recv().await {
            Ok(page) => self.not_adjacent = Some(page),
            Err(broadcast::error::RecvError::Lagged(_)) => self.read_log = true,
            // The sender lives as long as the store.
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }

    /// Makes the next call read the log, which may have events of another process.
    pub(super) fn request_read(&mut self) {
        self.read_log = true;
    }

    fn appended_after(&mut self, position: Position) -> Vec<Page> {
        let (mut pages, mut count, mut bytes, mut reached) = (Vec::new(), 0, 0, position);
        while count < PAGE && bytes < PAGE_BYTES {
            let page = match self.not_adjacent.take().map_or_else(|| self.appended.try_recv(), Ok) {
                Ok(page) => page,
                Err(TryRecvError::Lagged(_)) => {
                    self.read_log = true;
                    break;
                }
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            };
            let (Some(first), Some(last)) = (page.first(), page.last()) else { continue };
            if last.position <= reached {
                continue;
            }
            if first.position != reached.next() {
                self.read_log = true;
                self.not_adjacent = Some(page);
                break;
            }
            reached = last.position;
            count += page.len();
            bytes += page.iter().map(RecordedEvent::bytes).sum::<usize>();
            pages.push(page);
        }
        pages
    }
}
