//! Events on their way into a fold: decoded, with their coordinates.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use kernel::{Event, RecordedEvent};
use projector::ApplyError;
use serde::Deserialize;

use crate::table::Key;

/// One event, decoded.
pub(crate) struct Change<'a, E> {
    /// Whose it is.
    pub(crate) key: Key,
    /// The aggregate's version after it.
    pub(crate) version: i64,
    /// When it happened.
    pub(crate) occurred_at: DateTime<Utc>,
    /// When the log took it.
    pub(crate) recorded_at: DateTime<Utc>,
    /// What happened.
    pub(crate) event: E,
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
    pub(crate) fn name(&self) -> String {
        let wire = &self.recorded.event_type;
        wire.rsplit_once('.').map_or(wire.as_str(), |(_, name)| name).to_owned()
    }

    /// The subject in whose name it happened.
    pub(crate) fn actor(&self) -> Result<String, ApplyError> {
        serde_json::from_slice::<Actor<'_>>(&self.recorded.metadata)
            .map(|metadata| metadata.actor.into_owned())
            .map_err(|error| self.poison(format!("its metadata can't be read: {error}")))
    }

    /// This event can't be applied, and why.
    pub(crate) fn poison(&self, reason: impl Into<String>) -> ApplyError {
        poison(self.recorded, reason)
    }
}

/// Decodes a batch of one aggregate type's events.
pub(crate) fn decode<'a, E: Event>(events: &'a [&'a RecordedEvent]) -> Result<Vec<Change<'a, E>>, ApplyError> {
    events.iter().map(|recorded| change(recorded)).collect()
}

fn change<E: Event>(recorded: &RecordedEvent) -> Result<Change<'_, E>, ApplyError> {
    let id = recorded.aggregate_id.parse().map_err(|_| poison(recorded, "its aggregate's id is not a UUID"))?;
    Ok(Change {
        key: (recorded.tenant.uuid(), id),
        version: recorded.sequence.cast_signed(),
        occurred_at: recorded.occurred_at,
        recorded_at: recorded.recorded_at,
        event: recorded.decode().map_err(|error| poison(recorded, error.to_string()))?,
        recorded,
    })
}

fn poison(recorded: &RecordedEvent, reason: impl Into<String>) -> ApplyError {
    ApplyError::Poison { position: recorded.position, reason: reason.into() }
}
