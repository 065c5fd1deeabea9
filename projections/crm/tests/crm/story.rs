//! Histories for tests: events as they are read from the log.

use std::collections::HashMap;

use chrono::{DateTime, Duration, Utc};
use kernel::{Event, EventMetadata, IdSource, Position, RecordedEvent, SystemIds, TenantId};
use serde::Serialize;
use uuid::Uuid;

/// The first day of the stories.
pub fn day(day: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + Duration::days(20_000 + day)
}

pub fn id() -> Uuid {
    SystemIds.next()
}

/// A builder of a tenant's history.
pub struct Story {
    pub tenant: TenantId,
    pub events: Vec<RecordedEvent>,
    versions: HashMap<Uuid, u64>,
}

impl Story {
    pub fn new() -> Self {
        Self { tenant: testbed::tenant(), events: Vec::new(), versions: HashMap::new() }
    }

    /// Adds an event that was recorded at once.
    pub fn add<E: Event + Serialize>(&mut self, id: Uuid, at: DateTime<Utc>, event: impl Into<E>) {
        self.add_late(id, at, at, event);
    }

    /// Adds an event that was recorded later than it happened.
    pub fn add_late<E: Event + Serialize>(
        &mut self,
        id: Uuid,
        occurred_at: DateTime<Utc>,
        recorded_at: DateTime<Utc>,
        event: impl Into<E>,
    ) {
        let event: E = event.into();
        let sequence = self.versions.entry(id).and_modify(|version| *version += 1).or_insert(1);
        let metadata = EventMetadata {
            actor: "ada".to_owned(),
            command_id: "a command".to_owned(),
            correlation_id: Uuid::nil(),
            causation_id: Uuid::nil(),
            occurred_at,
            permissions: None,
            traceparent: None,
        };
        self.events.push(RecordedEvent {
            tenant: self.tenant,
            position: Position(self.events.len() as u64 + 1),
            event_id: SystemIds.next(),
            aggregate_type: E::event_types()[0].aggregate_type.to_owned(),
            aggregate_id: id.to_string(),
            sequence: *sequence,
            event_type: event.name().to_owned(),
            event_version: event.version(),
            payload: serde_json::to_vec(&event).unwrap().into(),
            metadata: serde_json::to_vec(&metadata).unwrap().into(),
            occurred_at,
            recorded_at,
        });
    }
}
