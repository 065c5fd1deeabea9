//! The bus's events, held against the log: what is not in it never happened.

use futures::{Stream, StreamExt, stream};
use kernel::{Position, RecordedEvent};
use nats::Bus;

use crate::{Error, EventStore};

/// Why a feed ended. The log has everything all the same.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// The bus.
    #[error(transparent)]
    Bus(#[from] nats::Error),
    /// The log, with which it is compared, does not answer.
    #[error("the log: {0}")]
    Log(#[from] Error),
    /// The stream is not this log's: it is another one's, or the log was restored from a backup, or failed over to a copy that was
    /// behind. The relay is stuck, too, and says what to do.
    #[error("the stream has another event at {0} than the log, or more than the log")]
    Foreign(Position),
}

impl EventStore {
    /// As [`Bus::feed`], and nothing that is not in this log: of each batch the last event is looked up, which a stream that has
    /// another history does not share. One look along an index; nobody who follows may do without, for a checkpoint beyond the log, or
    /// on what it has lost, passes over what will be there. It ends after an error.
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
