//! The file that a history is proven with: lines of JSON.
//!
//! A [`Head`], then seals and events, each seal before the events that it is of, then an [`End`]. Of a whole history all events are there,
//! and all seals; whoever reads it grows the tree. Of a part there is one seal, and each event has its path in that seal's tree.

use chrono::{DateTime, Utc};
use eventstore::backup::StoredEvent;
use eventstore::seals::Seal;
use kernel::{Leaf, LeafHash, Position, RecordedEvent, TenantId};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

/// The form of the file.
pub const FORM: u32 = 1;

/// The first line: what it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// [`FORM`].
    pub inopsio_history: u32,
    /// Whose.
    pub tenant: Uuid,
    /// Of which service's log.
    pub service: String,
    /// Whether it is all of it, up to the last seal.
    pub whole: bool,
    /// What is in it, in words.
    pub of: String,
}

/// The last line: so many events came before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct End {
    /// How many.
    pub events: u64,
}

/// A line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Line {
    /// The first.
    Head(Head),
    /// A signed head of the tree.
    Seal(Seal),
    /// An event.
    Event(Box<Entry>),
    /// The last.
    End(End),
}

/// An event in the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Which one it is in the tenant's history, from 1.
    pub number: u64,
    aggregate_type: String,
    aggregate_id: String,
    sequence: u64,
    event_id: Uuid,
    event_type: String,
    event_version: u32,
    occurred_at: DateTime<Utc>,
    recorded_at: DateTime<Utc>,
    /// The bytes as they are stored and hashed: what is personal in them is sealed.
    payload: Box<RawValue>,
    metadata: Box<RawValue>,
    /// Siblings on the way to the root, hexadecimal; absent in a whole history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<Vec<String>>,
}

impl Entry {
    /// An event as it stands in the file; none when its documents are not JSON of one line, as ours are.
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

    /// The event, with the hash that its bytes give.
    #[expect(clippy::disallowed_methods, reason = "a tenant of a file that is checked: nobody acts in its name")]
    pub fn event(&self, tenant: Uuid) -> StoredEvent {
        let event = RecordedEvent {
            tenant: TenantId::vouched(tenant),
            // Positions are a log's, and no part of the proof.
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

    /// Its path, decoded; none: it has none, or one that is not hexadecimal.
    pub fn siblings(&self) -> Option<Vec<LeafHash>> {
        let decode = |text: &String| {
            let mut hash = [0; 32];
            hex::decode_to_slice(text, &mut hash).ok().map(|()| hash)
        };
        self.path.as_ref()?.iter().map(decode).collect()
    }
}
