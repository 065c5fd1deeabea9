//! Decoded events with their aggregate, version and times, as input of a fold.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use kernel::{Event, RecordedEvent};
use projector::ApplyError;
use serde::Deserialize;

use crate::table::Key;

/// One decoded event.
pub struct Change<'a, E> {
    /// The tenant and aggregate.
    pub key: Key,
    /// The aggregate's version after this event.
    pub version: i64,
    /// The index among the events into which one stored event was upcast, from 0. They have the same version.
    pub part: usize,
    /// When it happened.
    pub occurred_at: DateTime<Utc>,
    /// When the log recorded it.
    pub recorded_at: DateTime<Utc>,
    /// The event.
    pub event: E,
    recorded: &'a RecordedEvent,
}

/// The part of the metadata that reducers need; the rest is not decoded.
#[derive(Deserialize)]
struct Actor<'a> {
    #[serde(borrow)]
    actor: Cow<'a, str>,
}

impl<E> Change<'_, E> {
    /// The last part of the event type: `qualified` of `crm.lead.qualified`.
    pub fn name(&self) -> String {
        let wire = &self.recorded.event_type;
        wire.rsplit_once('.').map_or(wire.as_str(), |(_, name)| name).to_owned()
    }

    /// The subject that caused the event.
    pub fn actor(&self) -> Result<String, ApplyError> {
        serde_json::from_slice::<Actor<'_>>(&self.recorded.metadata)
            .map(|metadata| metadata.actor.into_owned())
            .map_err(|error| self.poison(format!("its metadata can't be read: {error}")))
    }

    /// Whether this change comes next after `version`: it has the next version, or is a further part of the same one.
    pub fn follows(&self, version: i64) -> bool {
        if self.part == 0 { self.version == version + 1 } else { self.version == version }
    }

    /// The error for an event that can't be applied, with the reason.
    pub fn poison(&self, reason: impl Into<String>) -> ApplyError {
        poison(self.recorded, reason)
    }
}

/// Decodes a batch of events of one aggregate type. Retired event types are upcast, possibly to several events.
pub fn decode<'a, E: Event>(events: &'a [&'a RecordedEvent]) -> Result<Vec<Change<'a, E>>, ApplyError> {
    let mut changes = Vec::with_capacity(events.len());
    for recorded in events {
        let id = recorded.aggregate_id.parse().map_err(|_| poison(recorded, "its aggregate's id is not a UUID"))?;
        let today = recorded.decode().map_err(|error| poison(recorded, error.to_string()))?;
        changes.extend(today.into_iter().enumerate().map(|(part, event)| Change {
            key: (recorded.tenant.uuid(), id),
            version: recorded.sequence.cast_signed(),
            part,
            occurred_at: recorded.occurred_at,
            recorded_at: recorded.recorded_at,
            event,
            recorded,
        }));
    }
    Ok(changes)
}

fn poison(recorded: &RecordedEvent, reason: impl Into<String>) -> ApplyError {
    ApplyError::Poison { position: recorded.position, reason: reason.into() }
}
