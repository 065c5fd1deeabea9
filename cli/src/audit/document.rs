//! The file format of exported histories: one JSON document per line.
//!
//! A file has a [`Head`], then seals and events, then an [`End`]. A whole history has all events and all seals, each seal before the events
//! that it covers; the reader rebuilds the Merkle tree from them. A part has one seal, and each event carries its inclusion proof (the path
//! to that seal's root).

use chrono::{DateTime, Utc};
use eventstore::backup::StoredEvent;
use eventstore::seals::Seal;
use kernel::{Leaf, LeafHash, Position, RecordedEvent, TenantId};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

/// The version of the file format.
pub const FORM: u32 = 1;

/// The first line: it describes the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Version of the format: [`FORM`].
    pub inopsio_history: u32,
    /// The tenant whose history this is.
    pub tenant: Uuid,
    /// The name of the service whose log the events are from.
    pub service: String,
    /// Whether the file has the complete history up to the last seal, not a part of it.
    pub whole: bool,
    /// A description of the selection, for people.
    pub of: String,
}

/// The last line. It shows that the file is not truncated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct End {
    /// Number of events in the file.
    pub events: u64,
}

/// A line of the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Line {
    /// The first line.
    Head(Head),
    /// A signed head of the tree.
    Seal(Seal),
    /// An event.
    Event(Box<Entry>),
    /// The last line.
    End(End),
}

/// An event as a line of the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The event's number in the tenant's history of this service, from 1.
    pub number: u64,
    aggregate_type: String,
    aggregate_id: String,
    sequence: u64,
    event_id: Uuid,
    event_type: String,
    event_version: u32,
    #[serde(deserialize_with = "kernel::deserialize_stored_time")]
    occurred_at: DateTime<Utc>,
    #[serde(deserialize_with = "kernel::deserialize_stored_time")]
    recorded_at: DateTime<Utc>,
    /// The bytes exactly as they are stored and hashed. Personal data in them stays encrypted.
    payload: Box<RawValue>,
    metadata: Box<RawValue>,
    /// The inclusion proof: hashes of the siblings on the path to the root, hexadecimal. Absent in a whole history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<Vec<String>>,
}

impl Entry {
    /// Converts an event to a line. `None` if its payload or metadata is not JSON on a single line, which every event we write is.
    pub fn of(number: u64, event: &RecordedEvent, path: Option<Vec<LeafHash>>) -> Option<Self> {
        let document = |bytes: &[u8]| {
            let text = std::str::from_utf8(bytes).ok().filter(|text| !text.contains(['\n', '\r']))?;
            RawValue::from_string(text.to_owned()).ok().filter(|raw| raw.get() == text)
        };
        Some(Self {
            number,
            aggregate_type: event.aggregate_type.clone(),
            aggregate_id: event.aggregate_id.clone(),
            sequence: event.sequence,
            event_id: event.event_id,
            event_type: event.event_type.clone(),
            event_version: event.event_version,
            occurred_at: event.occurred_at,
            recorded_at: event.recorded_at,
            payload: document(&event.payload)?,
            metadata: document(&event.metadata)?,
            path: path.map(|path| path.iter().map(hex::encode).collect()),
        })
    }

    /// Converts the line back to an event, and computes the leaf hash from its bytes.
    #[expect(clippy::disallowed_methods, reason = "a tenant of a file that is checked: nobody acts in its name")]
    pub fn event(&self, tenant: Uuid) -> StoredEvent {
        let event = RecordedEvent {
            tenant: TenantId::vouched(tenant),
            // The file has no log position, and the proof does not need one: the number takes its place.
            position: Position(self.number),
            event_id: self.event_id,
            aggregate_type: self.aggregate_type.clone(),
            aggregate_id: self.aggregate_id.clone(),
            sequence: self.sequence,
            event_type: self.event_type.clone(),
            event_version: self.event_version,
            payload: self.payload.get().as_bytes().to_vec().into(),
            metadata: self.metadata.get().as_bytes().to_vec().into(),
            occurred_at: self.occurred_at,
            recorded_at: self.recorded_at,
        };
        StoredEvent { leaf_hash: Leaf::from(&event).hash(), event }
    }

    /// The decoded inclusion proof. `None` if the line has none or if it is not hexadecimal.
    pub fn siblings(&self) -> Option<Vec<LeafHash>> {
        let decode = |text: &String| {
            let mut hash = [0; 32];
            hex::decode_to_slice(text, &mut hash).ok().map(|()| hash)
        };
        self.path.as_ref()?.iter().map(decode).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attack_251_a_time_in_a_proven_file_is_not_altered_by_less_than_is_hashed() {
        let read = |at: &str| {
            let event = serde_json::json!({
                "number": 1, "aggregate_type": "crm.lead", "aggregate_id": "1", "sequence": 1, "event_id": Uuid::nil(),
                "event_type": "crm.lead.captured", "event_version": 1, "occurred_at": at,
                "recorded_at": "2027-01-01T00:00:00Z", "payload": {}, "metadata": {},
            });
            serde_json::from_str::<Line>(&serde_json::json!({ "event": event }).to_string())
        };
        assert!(read("2027-01-01T00:00:00Z").is_ok() && read("2026-12-31T23:59:59.999999Z").is_ok());
        // Both have the leaf hash of the first one above.
        for other in ["2027-01-01T00:00:00.000000999Z", "2026-12-31T23:59:60Z"] {
            assert!(read(other).unwrap_err().to_string().contains("whole microseconds"), "{other}");
        }
    }
}
