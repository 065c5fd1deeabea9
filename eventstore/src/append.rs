//! What is asked of the log, and what it answers.

pub(crate) mod check;

use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use kernel::{Position, RecordedEvent, TenantId};
use uuid::Uuid;

/// Events, a command id and claims that become true together, or not at all.
#[derive(Clone, Debug)]
pub struct Append {
    /// The authenticated caller's tenant.
    pub tenant: TenantId,
    /// The command that this append carries out.
    pub command: CommandRecord,
    /// The streams that grow. May be empty: a command that changes nothing is still remembered.
    pub streams: Vec<StreamAppend>,
    /// Unique keys taken, released or asked for.
    pub claims: Vec<Claim>,
}

impl Append {
    /// Its events as the log has them now, after what it had at `before`.
    pub(crate) fn record(&self, before: Position, recorded_at: DateTime<Utc>, page: &mut Vec<RecordedEvent>) {
        let mut position = before;
        for stream in &self.streams {
            for (sequence, event) in (stream.expected + 1..).zip(&stream.events) {
                position = position.next();
                page.push(RecordedEvent {
                    tenant: self.tenant,
                    position,
                    event_id: event.event_id,
                    aggregate_type: stream.aggregate_type.to_owned(),
                    aggregate_id: stream.aggregate_id.clone(),
                    sequence,
                    event_type: event.event_type.to_owned(),
                    event_version: event.event_version,
                    payload: Bytes::copy_from_slice(event.payload.as_bytes()),
                    metadata: Bytes::copy_from_slice(event.metadata.as_bytes()),
                    occurred_at: kernel::to_micros(event.occurred_at),
                    recorded_at,
                });
            }
        }
    }
}

/// A command's id and answer, stored with its events: asked again, it gets the first answer again.
#[derive(Clone, Debug)]
pub struct CommandRecord {
    /// Unique within the tenant; 1 to 287 bytes without NUL.
    pub id: String,
    /// SHA-256 of the request: the same id with another hash is refused.
    pub request_hash: [u8; 32],
    /// JSON text, given back as it is.
    pub answer: String,
}

/// Events at the end of one aggregate's stream.
#[derive(Clone, Debug)]
pub struct StreamAppend {
    /// `service.aggregate`, for example `crm.lead`.
    pub aggregate_type: &'static str,
    /// The aggregate's id; 1 to 255 characters without NUL.
    pub aggregate_id: String,
    /// The stream's version before these events; 0: it must not exist yet.
    pub expected: u64,
    /// In the order in which they happened. May be empty: then the append only requires the version.
    pub events: Vec<NewEvent>,
}

/// An event that the log has not yet.
#[derive(Clone, Debug)]
pub struct NewEvent {
    /// UUIDv7.
    pub event_id: Uuid,
    /// Wire name, for example `crm.lead.qualified`.
    pub event_type: &'static str,
    /// Version of the payload's form, from 1.
    pub event_version: u32,
    /// JSON, stored byte by byte.
    pub payload: String,
    /// JSON of a [`kernel::EventMetadata`], shared by the events of a command.
    pub metadata: Arc<str>,
    /// When it happened in the caller's world; cut to whole microseconds.
    pub occurred_at: DateTime<Utc>,
}

/// A unique key of a tenant.
#[derive(Clone, Debug)]
pub struct Claim {
    /// What is unique, for example `crm.contact.email`.
    pub kind: &'static str,
    /// Keyed hash of the value.
    pub key: [u8; 32],
    /// Who has it: usually an aggregate's id.
    pub holder: String,
    /// What is done with it.
    pub act: ClaimAct,
}

/// What is done with a claim. Releases come before takes, so one append may move a claim from one holder to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimAct {
    /// Take it; conflicts when another holder has it.
    Take,
    /// Give it back; nothing happens when the holder does not have it.
    Release,
    /// Note it when it is not there yet; never conflicts.
    Mark,
    /// Require that nobody has it; changes nothing.
    Absent,
}

/// A job that is asked for with an append: there when that is, and not if it is not. Its form is that of the crate `jobs`, which makes
/// it, and the tables (schema `jobs`, same database) are that crate's.
#[derive(Clone, Debug)]
pub struct AskedJob {
    /// UUIDv7.
    pub id: Uuid,
    /// What is to be done, for example `export_leads`.
    pub kind: String,
    /// Its queue.
    pub queue: String,
    /// Of those that are open a tenant has one of this key.
    pub unique_key: Option<String>,
    /// Of those that were not given up a tenant has one of this key.
    pub period_key: Option<String>,
    /// JSON.
    pub arguments: String,
    /// In whose name.
    pub actor: String,
    /// Not before then; none: at once.
    pub run_at: Option<DateTime<Utc>>,
    /// How often it is begun at most.
    pub max_attempts: u32,
}

/// A done append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Position of the first event; with no events the log's head.
    pub first: Position,
    /// Position of the last event; with no events the log's head.
    pub last: Position,
    /// When the log took it.
    pub recorded_at: DateTime<Utc>,
    /// The first answer, when this command id was done before (nothing was written now).
    pub answer: Option<String>,
}

/// An append that was not done. But for `Unavailable` and `Storage`, nothing was written; after those two the same append
/// may be sent again, because its command id makes it happen once.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The stream is not at the expected version.
    #[error("{aggregate_type} {aggregate_id} is at version {actual}, not {expected}")]
    VersionConflict {
        /// The stream's aggregate type.
        aggregate_type: String,
        /// The stream's aggregate id.
        aggregate_id: String,
        /// The version that was expected.
        expected: u64,
        /// The version that the stream has.
        actual: u64,
    },
    /// The command id was used for another request.
    #[error("the command id {id:?} was used for another request")]
    CommandReused {
        /// The command's id.
        id: String,
    },
    /// Somebody else has the claim.
    #[error("{kind} is taken by {holder}")]
    ClaimTaken {
        /// The claim's kind.
        kind: String,
        /// Who has it.
        holder: String,
    },
    /// The event is too large for the log.
    #[error("the event has {bytes} bytes; allowed are {allowed}")]
    EventTooLarge {
        /// The event's size: payload and metadata.
        bytes: usize,
        /// The largest allowed.
        allowed: usize,
    },
    /// Something in it can't be stored.
    #[error("the append can't be stored: {0}")]
    Invalid(String),
    /// The tenant is on its way to another cell, or lives there: nothing was written, and nothing will be here.
    #[error("the tenant {tenant} is closed here: it is being moved, or was")]
    Closed {
        /// Whose append it was.
        tenant: TenantId,
    },
    /// A key that seals what is personal in it can't be had: nothing was written.
    #[error("personal data can't be sealed: {0}")]
    Keyless(keys::Error),
    /// Too many appends wait already. It may be sent again in a while.
    #[error("the log is busy: {0}")]
    Busy(String),
    /// The database did not answer in time, or the log is closing: it is not known whether the append was done.
    #[error("the log is not available: {0}")]
    Unavailable(String),
    /// Postgres refused.
    #[error(transparent)]
    Storage(#[from] sqlx::Error),
}
