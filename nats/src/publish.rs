//! Publishing events in the log's order.

use kernel::{Position, RecordedEvent, Service};

use crate::{Bus, PublishError};

impl Bus {
    /// Publishes events that follow on `after`, in the log's order, many in flight; returns the last position stored.
    pub async fn publish(
        &self,
        _service: Service,
        _events: &[RecordedEvent],
        _after: Position,
    ) -> Result<Position, PublishError> {
        todo!()
    }
}
