//! Replaying a tenant's history.

use chrono::{DateTime, Utc};
use kernel::Position;

/// Which events of a tenant's history are wanted; what is not set does not restrict.
#[derive(Clone, Debug, Default)]
pub struct ReplayFilter {
    /// `service.aggregate`.
    pub aggregate_type: Option<String>,
    /// The aggregate's id.
    pub aggregate_id: Option<String>,
    /// Wire name of the event.
    pub event_type: Option<String>,
    /// Recorded at this time or later.
    pub recorded_from: Option<DateTime<Utc>>,
    /// Recorded before this time.
    pub recorded_until: Option<DateTime<Utc>>,
    /// Occurred at this time or later.
    pub occurred_from: Option<DateTime<Utc>>,
    /// Occurred before this time.
    pub occurred_until: Option<DateTime<Utc>>,
    /// At positions after this one.
    pub after: Position,
    /// Up to this position, inclusive; the log's head when the replay begins unless given.
    pub to: Option<Position>,
}
