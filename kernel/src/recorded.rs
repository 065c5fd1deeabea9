//! An event as the log has it.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{DecodeError, Event, TenantId, Upcast};

/// Where an event stands in its service's log: dense, from 1, in commit order; and its sequence in the JetStream stream.
/// 0 means "before the first event".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(pub u64);

impl Position {
    /// Before the first event.
    pub const START: Self = Self(0);

    /// The position after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// As Postgres keeps it. One that is beyond what Postgres has is its last one, which no log reaches.
    pub const fn as_i64(self) -> i64 {
        if self.0 > i64::MAX.cast_unsigned() { i64::MAX } else { self.0.cast_signed() }
    }

    /// From a Postgres `bigint`; the log has no negative ones.
    pub const fn from_i64(value: i64) -> Self {
        Self(value.cast_unsigned())
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Position {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// One event of the log, with the bytes of payload and metadata exactly as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedEvent {
    /// The tenant whose history it belongs to.
    pub tenant: TenantId,
    /// Its place in the service's log.
    pub position: Position,
    /// Its own id (UUIDv7); the `ce-id` on the bus.
    pub event_id: Uuid,
    /// `service.aggregate`, for example `crm.lead`.
    pub aggregate_type: String,
    /// The aggregate's id.
    pub aggregate_id: String,
    /// Its number within the aggregate's stream, from 1: the aggregate's version after it.
    pub sequence: u64,
    /// Wire name, for example `crm.lead.qualified`.
    pub event_type: String,
    /// Version of the payload's form, from 1.
    pub event_version: u32,
    /// JSON as stored.
    pub payload: Bytes,
    /// JSON as stored: an [`EventMetadata`](crate::EventMetadata).
    pub metadata: Bytes,
    /// When it happened in the caller's world.
    pub occurred_at: DateTime<Utc>,
    /// When the log took it.
    pub recorded_at: DateTime<Utc>,
}

impl RecordedEvent {
    /// What it is today, as events of `E`'s aggregate: one, or of a retired form several, which all have this one's
    /// position and sequence.
    pub fn decode<E: Event>(&self) -> Result<Upcast<E>, DecodeError> {
        E::decode(&self.event_type, self.event_version, &self.payload)
    }

    /// What happened to the aggregate: the last part of the wire name, for example `qualified`.
    pub fn change(&self) -> &str {
        self.event_type.rsplit('.').next().unwrap_or_default()
    }

    /// How many bytes payload and metadata have: nearly all that an event takes.
    pub const fn bytes(&self) -> usize {
        self.payload.len() + self.metadata.len()
    }

    /// Decodes the metadata.
    pub fn decode_metadata(&self) -> Result<crate::EventMetadata, DecodeError> {
        serde_json::from_slice(&self.metadata).map_err(|error| DecodeError::Payload {
            event_type: self.event_type.clone(),
            version: self.event_version,
            reason: format!("its metadata: {error}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_that_postgres_does_not_have_is_no_negative_one() {
        for (position, kept) in [(0, 0), (7, 7), (i64::MAX.cast_unsigned(), i64::MAX), (u64::MAX, i64::MAX)] {
            assert_eq!(Position(position).as_i64(), kept);
        }
    }
}
