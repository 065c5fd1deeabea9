//! Reads of those who follow the log of all tenants by position. [`Place`]: up to where somebody follows it who has to notice if it loses its
//! end.

use kernel::{Position, RecordedEvent, TenantId};
use uuid::Uuid;

use crate::backup::Copied;
use crate::{Closure, Error, EventSlice, EventStore, closed, read};

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
    ///
    /// # Errors
    /// [`Error::Unavailable`] if that event is not there: nobody would notice from such a place that the log has lost its end.
    pub async fn end(&self) -> Result<Place, Error> {
        match read::end(self.followers()).await? {
            (position, None) if position > Position::START => {
                Err(Error::Unavailable(format!("its last event, {position}, is not there")))
            }
            (position, event) => Ok(Place { position, event }),
        }
    }

    /// The events of all tenants after a place, as those after [a position](Self::slice_after). `None`: the log has lost its end (it was
    /// restored, or a server took over that lacked it), so that other events stand, or will stand, where the follower thinks it was already.
    /// It has to begin anew. This process's [epoch](Self::epoch) has ended then.
    pub async fn slice_from(&self, place: Place, limit: u32) -> Result<Option<EventSlice>, Error> {
        let slice = self.slice_after(place.position, limit).await?;
        // Asked last: if the event is there now, it was there when the slice was read.
        if let Some(event) = place.event
            && !read::has(self.followers(), place.position, event).await?
        {
            self.end_epoch();
            return Ok(None);
        }
        Ok(Some(slice))
    }

    /// The events of all tenants after a position, as stored, in order, at most `limit`; fewer if they are large, as in
    /// [`slice_after`](Self::slice_after). For callers that go on until the result is empty.
    pub async fn read_after(&self, after: Position, limit: u32) -> Result<Vec<RecordedEvent>, Error> {
        Ok(self.slice_after(after, limit).await?.events)
    }

    /// The same, and whether there is more.
    pub async fn slice_after(&self, after: Position, limit: u32) -> Result<EventSlice, Error> {
        read::after(self.followers(), after, limit).await
    }

    /// For each tenant, the last event of these types in the stream that has the tenant's own id, up to a position, however old; ordered by
    /// position.
    pub async fn last_of_tenants(
        &self,
        aggregate_type: &str,
        event_types: &[&str],
        upto: Position,
    ) -> Result<Vec<RecordedEvent>, Error> {
        read::last_of_tenants(self.followers(), aggregate_type, event_types, upto).await
    }

    /// Whether the log has this event at its position.
    pub async fn has(&self, event: &RecordedEvent) -> Result<bool, Error> {
        read::has(self.followers(), event.position, event.event_id).await
    }

    /// Which events of these tenants were imported.
    pub async fn copied(&self, tenants: &[Uuid]) -> Result<Copied, Error> {
        Copied::of(self.followers(), tenants).await
    }

    /// The closed tenants (for which nothing may be written here), and why.
    pub async fn closed(&self) -> Result<Vec<(TenantId, Closure)>, Error> {
        closed::all(self.followers()).await
    }

    /// The events of a partition's tenants (see [`partition_of`](crate::partition_of)) after a position, in order. Covers at most the next
    /// `limit` × `partitions` positions.
    pub async fn read_partition(
        &self,
        after: Position,
        limit: u32,
        number: u32,
        partitions: u32,
    ) -> Result<EventSlice, Error> {
        read::partition(self.followers(), after, limit, (number, partitions)).await
    }

    /// The events of any tenants at these positions, opened, in order; positions without an event are left out.
    pub async fn events_at(&self, positions: &[Position]) -> Result<Vec<RecordedEvent>, Error> {
        self.opened(read::at(self.followers(), positions).await?).await
    }

    /// As [`events_at`](Self::events_at), but as stored.
    pub async fn stored_at(&self, positions: &[Position]) -> Result<Vec<RecordedEvent>, Error> {
        read::at(self.followers(), positions).await
    }

    /// The position of the last event; 0 when there is none.
    pub async fn head(&self) -> Result<Position, Error> {
        read::head(self.followers()).await
    }
}
