//! Reading a service's events in order, without gaps.

use futures::Stream;
use kernel::{Position, RecordedEvent, Service};

use crate::{Bus, Error};

impl Bus {
    /// The events of a service from `start` on (inclusive), in batches of what is ready.
    pub fn feed(
        &self,
        _service: Service,
        _start: Position,
    ) -> impl Stream<Item = Result<Vec<RecordedEvent>, Error>> + Send + use<> {
        futures::stream::pending()
    }
}
