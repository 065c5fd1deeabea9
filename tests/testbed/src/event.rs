//! An event as readers of a log get it, for tests that need no log.

use std::time::SystemTime;

use kernel::{IdSource, Position, RecordedEvent, SystemIds};

/// An event of the lamp `hall` at this position, which is its sequence too, with an empty payload. Its tenant is new; tests that need another
/// tenant or payload replace it (`RecordedEvent { tenant, ..testbed::event(1) }`).
pub fn event(position: u64) -> RecordedEvent {
    RecordedEvent {
        tenant: crate::tenant(),
        position: Position(position),
        event_id: SystemIds.next(),
        aggregate_type: "demo.lamp".to_owned(),
        aggregate_id: "hall".to_owned(),
        sequence: position,
        event_type: "demo.lamp.lit".to_owned(),
        event_version: 1,
        payload: "{}".into(),
        metadata: "{}".into(),
        occurred_at: SystemTime::UNIX_EPOCH.into(),
        recorded_at: SystemTime::UNIX_EPOCH.into(),
    }
}
