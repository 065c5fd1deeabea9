//! Events on their way into a fold: decoded, with their coordinates.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use kernel::{Event, RecordedEvent};
use projector::ApplyError;
use serde::Deserialize;

use crate::table::Key;

/// One event, decoded.
pub struct Change<'a, E> {
    /// Whose it is.
    pub key: Key,
    /// The aggregate's version after it.
    pub version: i64,
    /// Its place among the events that one stored event stands for (an upcast), from 0: they share the version.
    pub part: usize,
    /// When it happened.
    pub occurred_at: DateTime<Utc>,
    /// When the log took it.
    pub recorded_at: DateTime<Utc>,
    /// What happened.
    pub event: E,
    recorded: &'a RecordedEvent,
}

/// All that a reducer needs of the metadata, without taking the rest apart.
#[derive(Deserialize)]
struct Actor<'a> {
    #[serde(borrow)]
    actor: Cow<'a, str>,
}

impl<E> Change<'_, E> {
    /// Its last name on the wire: `qualified` of `crm.lead.qualified`.
    pub fn name(&self) -> String {
        let wire = &self.recorded.event_type;
        wire.rsplit_once('.').map_or(wire.as_str(), |(_, name)| name).to_owned()
    }

    /// The subject in whose name it happened.
    pub fn actor(&self) -> Result<String, ApplyError> {
        serde_json::from_slice::<Actor<'_>>(&self.recorded.metadata)
            .map(|metadata| metadata.actor.into_owned())
            .map_err(|error| self.poison(format!("its metadata can't be read: {error}")))
    }

    /// Whether it makes the version that follows on `version`, or goes on making that one, as a further part.
    pub fn follows(&self, version: i64) -> bool {
        if self.part == 0 { self.version == version + 1 } else { self.version == version }
    }

    /// This event can't be applied, and why.
    pub fn poison(&self, reason: impl Into<String>) -> ApplyError {
        poison(self.recorded, reason)
    }
}

/// Decodes a batch of one aggregate type's events; of a retired form, as all that it stands for today.
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
