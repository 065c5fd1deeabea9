//! Export and import of the whole log of a service.
//!
//! [`freeze`] takes a consistent snapshot of the logs of all services while appends continue; each [`Snapshot`] is then read as a stream.
//! [`Restore`] fills an empty log with it, with the same positions and hashes. [`Graft`] appends the history of one tenant to a log that is
//! in use, under another tenant's id. Configuration that is stored in other tables of the database is included table by table
//! ([`SideTable`]), and so are the [seals](crate::seals), together with their events. Where a backup is stored and in which format is not
//! decided here.

pub(crate) mod copied;
pub(crate) mod graft;
mod restore;
mod seal_reader;
mod side_tables;
pub(crate) mod snapshot;
pub(crate) mod write;

use chrono::{DateTime, Utc};
use kernel::{LeafHash, Position, RecordedEvent, TenantId};

use crate::sealing::{TENANT_KEY, wrapped_by};

pub use copied::Copied;
pub use graft::{Graft, grafted_id};
pub use restore::{Restore, is_empty, is_filled};
pub use seal_reader::SealReader;
pub use side_tables::{Secrets, SideTable, StoredRow};
pub use snapshot::{SealedEvent, Snapshot, freeze};

/// An event with the leaf hash that its writer computed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    /// The event.
    pub event: RecordedEvent,
    /// The stored leaf hash.
    pub leaf_hash: LeafHash,
}

/// A stored command with its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAnswer {
    /// The tenant.
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
    /// When it was executed.
    pub recorded_at: DateTime<Utc>,
}

/// A unique key that is taken.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StoredClaim {
    /// The tenant.
    pub tenant: TenantId,
    /// What is unique, for example `crm.contact.email`.
    pub kind: String,
    /// Keyed hash of the value.
    pub key: [u8; 32],
    /// The holder.
    pub holder: String,
}

impl StoredClaim {
    /// If the claim stores a tenant's key: the name of the master key that wrapped it.
    pub fn wrapped_by(&self) -> Option<String> {
        (self.kind == TENANT_KEY).then(|| wrapped_by(&self.holder))
    }
}

/// The end of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Position of the last event; 0 if there is none.
    pub position: Position,
    /// When the last append was recorded; `None` if there was none.
    pub recorded_at: Option<DateTime<Utc>>,
}
