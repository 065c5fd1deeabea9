//! [`Place`]: up to where somebody follows a log, who has to notice if the log loses its end.

use kernel::{Position, RecordedEvent};
use uuid::Uuid;

use crate::{Error, EventSlice, EventStore, read};

/// The last event of a log that a follower knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    position: Position,
    /// `None`: there was no event yet.
    event: Option<Uuid>,
}

impl Place {
    /// The place after this event.
    pub fn after(event: &RecordedEvent) -> Self {
        Self { position: event.position, event: Some(event.event_id) }
    }

    /// The position of the event; 0 if there was none yet.
    pub fn position(&self) -> Position {
        self.position
    }
}

impl EventStore {
    /// The place after the last event.
    pub async fn end(&self) -> Result<Place, Error> {
        let (position, event) = read::end(self.followers()).await?;
        Ok(Place { position, event })
    }

    /// The events of all tenants after a place, as those after [a position](Self::slice_after). `None`: the log has lost its end (it was
    /// restored, or a server took over that lacked it), so that other events stand, or will stand, where the follower thinks it was already.
    /// It has to begin anew.
    pub async fn slice_from(&self, place: Place, limit: u32) -> Result<Option<EventSlice>, Error> {
        let slice = self.slice_after(place.position, limit).await?;
        // Asked last: if the event is there now, it was there when the slice was read.
        let is_there = match place.event {
            Some(event) => read::has(self.followers(), place.position, event).await?,
            None => true,
        };
        Ok(is_there.then_some(slice))
    }
}
