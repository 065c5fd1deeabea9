//! Where the active relay has its events from.

use kernel::{Position, RecordedEvent};
use tokio::sync::broadcast::{self, error::TryRecvError};

use crate::passing::Page;
use crate::{Error, EventSlice, EventStore, PAGE_BYTES};

/// Events that are taken at once, from the log or from the committer, unless they are large: then those that have [`PAGE_BYTES`].
const PAGE: usize = 1_000;

/// What this process has just written, while that follows on what was published; the log for everything else: what was there
/// before, what another process wrote, what was missed.
pub(super) struct Source<'a> {
    store: &'a EventStore,
    written: broadcast::Receiver<Page>,
    /// Written here, but does not follow: something is before it that only the log has.
    beyond: Option<Page>,
    /// Whether the log may have more than we saw.
    look: bool,
}

impl<'a> Source<'a> {
    /// Begins with what the log has.
    pub(super) fn new(store: &'a EventStore) -> Self {
        Self { store, written: store.passing().appended.subscribe(), beyond: None, look: true }
    }

    /// The events after a position that are there, at least one if there are any; pages that follow on each other.
    pub(super) async fn after(&mut self, position: Position) -> Result<Vec<Page>, Error> {
        if !self.look {
            let pages = self.written_after(position);
            if !pages.is_empty() || !self.look {
                return Ok(pages);
            }
        }
        let EventSlice { events, more, .. } = self.store.slice_after(position, PAGE as u32).await?;
        self.look = more;
        Ok(if events.is_empty() { Vec::new() } else { vec![Page::new(events)] })
    }

    /// Returns when this process has written something.
    pub(super) async fn written(&mut self) {
        match self.written.recv().await {
            Ok(page) => self.beyond = Some(page),
            Err(broadcast::error::RecvError::Lagged(_)) => self.look = true,
            // The sender lives as long as the store.
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }

    /// Says that the log may have something that this process did not write.
    pub(super) fn look(&mut self) {
        self.look = true;
    }

    fn written_after(&mut self, position: Position) -> Vec<Page> {
        let (mut pages, mut count, mut bytes, mut reached) = (Vec::new(), 0, 0, position);
        while count < PAGE && bytes < PAGE_BYTES {
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
            bytes += page.iter().map(RecordedEvent::bytes).sum::<usize>();
            pages.push(page);
        }
        pages
    }
}
