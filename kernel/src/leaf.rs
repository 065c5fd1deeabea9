//! The leaf hash of an event in the Merkle tree over a tenant's history (RFC 6962 section 2.1). The writer computes it, and an auditor
//! recomputes it.

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{RecordedEvent, TenantId};

/// The SHA-256 of a leaf.
pub type LeafHash = [u8; 32];

/// The fields of an event that its leaf hash covers. The position is not one of them: the event's place in the order is proven by its place
/// in the tree.
#[derive(Clone, Copy, Debug)]
pub struct Leaf<'a> {
    /// The tenant.
    pub tenant: TenantId,
    /// `service.aggregate`.
    pub aggregate_type: &'a str,
    /// The aggregate's id.
    pub aggregate_id: &'a str,
    /// The event's number within the aggregate's stream.
    pub sequence: u64,
    /// The event's id.
    pub event_id: Uuid,
    /// Wire name.
    pub event_type: &'a str,
    /// Version of the payload's schema.
    pub event_version: u32,
    /// When the event happened.
    pub occurred_at: DateTime<Utc>,
    /// When the log recorded it.
    pub recorded_at: DateTime<Utc>,
    /// The payload's bytes as stored.
    pub payload: &'a [u8],
    /// The metadata's bytes as stored.
    pub metadata: &'a [u8],
}

impl Leaf<'_> {
    /// SHA-256 over the byte 0x00 and then each field, preceded by its length (u32, big-endian), so that two different events never have
    /// the same input.
    pub fn hash(&self) -> LeafHash {
        let mut hasher = Sha256::new();
        hasher.update([0]);
        let mut part = |bytes: &[u8]| {
            // An event is at most 256 KiB, so the length fits.
            hasher.update(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
            hasher.update(bytes);
        };
        part(b"inopsio.leaf.1");
        part(self.tenant.uuid().as_bytes());
        part(self.aggregate_type.as_bytes());
        part(self.aggregate_id.as_bytes());
        part(&self.sequence.to_be_bytes());
        part(self.event_id.as_bytes());
        part(self.event_type.as_bytes());
        part(&self.event_version.to_be_bytes());
        part(&self.occurred_at.timestamp_micros().to_be_bytes());
        part(&self.recorded_at.timestamp_micros().to_be_bytes());
        part(self.payload);
        part(self.metadata);
        hasher.finalize().into()
    }
}

impl<'a> From<&'a RecordedEvent> for Leaf<'a> {
    fn from(event: &'a RecordedEvent) -> Self {
        Self {
            tenant: event.tenant,
            aggregate_type: &event.aggregate_type,
            aggregate_id: &event.aggregate_id,
            sequence: event.sequence,
            event_id: event.event_id,
            event_type: &event.event_type,
            event_version: event.event_version,
            occurred_at: event.occurred_at,
            recorded_at: event.recorded_at,
            payload: &event.payload,
            metadata: &event.metadata,
        }
    }
}
