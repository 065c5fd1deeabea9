//! The whole log of a service taken out, and brought in again.
//!
//! [`freeze`] fixes one moment over the logs of all services while writing goes on; its [`Snapshot`]s are read at leisure, as
//! streams. [`Restore`] fills an empty log with what they gave, positions and hashes as they were. [`Graft`] appends one
//! tenant's history at the end of a log that is in use, under another tenant's id. What people set up beside it is taken along by
//! table ([`Beside`]); the [seals](crate::seals) are, with the events that they are of. What is stored where, and in which form, is not
//! decided here.

mod beside;
pub(crate) mod copied;
pub(crate) mod graft;
mod restore;
mod seal_reader;
pub(crate) mod snapshot;
pub(crate) mod write;

use chrono::{DateTime, Utc};
use kernel::{LeafHash, Position, RecordedEvent, TenantId};

use crate::sealing::{TENANT_KEY, wrapped_by};

pub use beside::{Beside, Secrets, StoredRow};
pub use copied::Copied;
pub use graft::{Graft, grafted_id};
pub use restore::{Restore, is_empty};
pub use seal_reader::SealReader;
pub use snapshot::{SealedEvent, Snapshot, freeze};

/// An event with the hash that its writer computed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    /// The event.
    pub event: RecordedEvent,
    /// The hash that the log has for it.
    pub leaf_hash: LeafHash,
}

/// What was done under an id, with the first answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAnswer {
    /// Whose.
    pub tenant: TenantId,
    /// The command's id.
    pub command_id: String,
    /// SHA-256 of the request.
    pub request_hash: [u8; 32],
    /// JSON text.
    pub answer: String,
    /// Position of the first event.
    pub first: Position,
    /// Position of the last event.
    pub last: Position,
    /// When it was done.
    pub recorded_at: DateTime<Utc>,
}

/// A unique key that somebody has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StoredClaim {
    /// Whose.
    pub tenant: TenantId,
    /// What is unique, for example `crm.contact.email`.
    pub kind: String,
    /// Keyed hash of the value.
    pub key: [u8; 32],
    /// Who has it.
    pub holder: String,
}

impl StoredClaim {
    /// Of a claim that is a tenant's key: the name of the master key that wrapped it.
    pub fn wrapped_by(&self) -> Option<String> {
        (self.kind == TENANT_KEY).then(|| wrapped_by(&self.holder))
    }
}

/// Where a log ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Position of the last event; 0: none.
    pub position: Position,
    /// When something was written last; none: never.
    pub recorded_at: Option<DateTime<Utc>>,
}
