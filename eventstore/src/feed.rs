//! The feed of events from the bus, checked against the log: an event that is not in the log is not delivered.

use futures::{Stream, StreamExt, stream};
use kernel::{Position, RecordedEvent};
use nats::Bus;

use crate::{Error, EventStore};

/// Why a feed ended. The events are still in the log.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// The bus.
    #[error(transparent)]
    Bus(#[from] nats::Error),
    /// The log, which is needed for the check, does not answer.
    #[error("the log: {0}")]
    Log(#[from] Error),
    /// The stream belongs to another log, or the log was restored from a backup or failed over to a replica that lagged behind. The relay
    /// is then stuck, too, and reports what to do.
    #[error("the stream has another event at {0} than the log, or more than the log")]
    Foreign(Position),
}

impl EventStore {
    /// As [`Bus::feed`], but checks that the events are in this log: of each batch it looks up the last event (one index lookup), which a
    /// stream with another history does not share with the log. Every consumer needs this check: with a checkpoint beyond the log's end, or
    /// on events that the log has lost, it would skip the events that get these positions later. The feed ends after an error.
    pub fn feed(
        &self,
        bus: &Bus,
        start: Position,
    ) -> impl Stream<Item = Result<Vec<RecordedEvent>, FeedError>> + Send + use<> {
        let feed = Box::pin(bus.feed(self.service(), start));
        stream::unfold(Some((self.clone(), feed)), |state| async {
            let (store, mut feed) = state?;
            match store.ours(feed.next().await?).await {
                Ok(events) => Some((Ok(events), Some((store, feed)))),
                Err(error) => Some((Err(error), None)),
            }
        })
    }

    async fn ours(&self, batch: Result<Vec<RecordedEvent>, nats::Error>) -> Result<Vec<RecordedEvent>, FeedError> {
        let events = batch?;
        match events.last() {
            Some(last) if !self.has(last).await? => Err(FeedError::Foreign(last.position)),
            _ => Ok(events),
        }
    }
}
