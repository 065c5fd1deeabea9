//! The input, result and error types of an append.

pub(crate) mod check;

use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use kernel::{Position, RecordedEvent, TenantId};
use uuid::Uuid;

/// Events, a command record and claims that are written atomically.
#[derive(Clone, Debug)]
pub struct Append {
    /// The authenticated caller's tenant.
    pub tenant: TenantId,
    /// The command that caused this append.
    pub command: CommandRecord,
    /// The streams to which events are appended. May be empty: a command that changes nothing is recorded too.
    pub streams: Vec<StreamAppend>,
    /// Unique keys to take, release or check.
    pub claims: Vec<Claim>,
}

impl Append {
    /// Moves its events to `page` as the log has recorded them, at the positions that follow `before`.
    pub(crate) fn record(&mut self, before: Position, recorded_at: DateTime<Utc>, page: &mut Vec<RecordedEvent>) {
        let mut position = before;
        for stream in std::mem::take(&mut self.streams) {
            for (sequence, event) in (stream.expected + 1..).zip(stream.events) {
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
                    payload: event.payload.into(),
                    metadata: Bytes::copy_from_slice(event.metadata.as_bytes()),
                    occurred_at: kernel::to_micros(event.occurred_at),
                    recorded_at,
                });
            }
        }
    }
}

/// The id and the answer of a command, stored in the same transaction as its events. A repetition of the command gets the stored answer.
#[derive(Clone, Debug)]
pub struct CommandRecord {
    /// Unique within the tenant; 1 to 287 bytes without NUL.
    pub id: String,
    /// SHA-256 of the request: the same id with another hash is refused.
    pub request_hash: [u8; 32],
    /// JSON text, which repetitions get unchanged.
    pub answer: String,
}

/// Events to append to one aggregate's stream.
#[derive(Clone, Debug)]
pub struct StreamAppend {
    /// `service.aggregate`, for example `crm.lead`.
    pub aggregate_type: &'static str,
    /// The aggregate's id; 1 to 255 characters without NUL.
    pub aggregate_id: String,
    /// The expected version of the stream before these events; 0: it must not exist yet.
    pub expected: u64,
    /// In the order in which they happened. May be empty: then only the version is checked.
    pub events: Vec<NewEvent>,
}

/// An event to append.
#[derive(Clone, Debug)]
pub struct NewEvent {
    /// UUIDv7.
    pub event_id: Uuid,
    /// Wire name, for example `crm.lead.qualified`.
    pub event_type: &'static str,
    /// Version of the payload's schema, from 1.
    pub event_version: u32,
    /// JSON, stored byte for byte.
    pub payload: String,
    /// JSON of a [`kernel::EventMetadata`], shared by the events of one command.
    pub metadata: Arc<str>,
    /// When it happened, according to the caller; truncated to whole microseconds.
    pub occurred_at: DateTime<Utc>,
}

/// An operation on a unique key of a tenant.
#[derive(Clone, Debug)]
pub struct Claim {
    /// What is unique, for example `crm.contact.email`.
    pub kind: &'static str,
    /// Keyed hash of the value.
    pub key: [u8; 32],
    /// The holder of the key: usually the id of an aggregate.
    pub holder: String,
    /// The operation.
    pub act: ClaimAct,
}

/// An operation on a claim. Releases are executed before takes, so one append may move a claim from one holder to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimAct {
    /// Take the key; a conflict if another holder has it.
    Take,
    /// Release the key; no effect if this holder does not have it.
    Release,
    /// Take the key if nobody has it; never a conflict.
    Mark,
    /// Require that nobody has the key; changes nothing.
    Absent,
}

/// A job to enqueue in the same transaction as an append: it exists if and only if the append was written. The format is defined by the
/// crate `jobs`, which creates these values and owns the tables (schema `jobs` of the same database).
#[derive(Clone, Debug)]
pub struct AskedJob {
    /// UUIDv7.
    pub id: Uuid,
    /// The kind of the job, for example `export_leads`.
    pub kind: String,
    /// The name of its queue.
    pub queue: String,
    /// A tenant can have only one open job with this key.
    pub unique_key: Option<String>,
    /// A tenant can have only one job with this key that was not given up.
    pub period_key: Option<String>,
    /// The arguments, JSON.
    pub arguments: String,
    /// The subject in whose name the job runs.
    pub actor: String,
    /// The earliest start; `None`: at once.
    pub run_at: Option<DateTime<Utc>>,
    /// The maximum number of attempts.
    pub max_attempts: u32,
}

/// The result of an append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Position of the first event; the log's last position if there are no events.
    pub first: Position,
    /// Position of the last event; the log's last position if there are no events.
    pub last: Position,
    /// When the log recorded it.
    pub recorded_at: DateTime<Utc>,
    /// The stored answer, if a command with this id was executed before (then nothing was written now).
    pub answer: Option<String>,
}

/// Why an append failed. Except for `Unavailable` and `Storage`, nothing was written. After those two, the same append may be sent again:
/// the command id makes sure that it is executed only once.
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
    /// Another holder has the claim.
    #[error("{kind} is taken by {holder}")]
    ClaimTaken {
        /// The claim's kind.
        kind: String,
        /// The current holder.
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
    /// It contains something that can't be stored.
    #[error("the append can't be stored: {0}")]
    Invalid(String),
    /// The tenant is being moved to another cell, or lives there: nothing was written, and a retry here will not succeed.
    #[error("the tenant {tenant} is closed here: it is being moved, or was")]
    Closed {
        /// The tenant of the append.
        tenant: TenantId,
    },
    /// The key for encrypting its personal data is unavailable: nothing was written.
    #[error("personal data can't be sealed: {0}")]
    Keyless(keys::Error),
    /// It rests on what was read before the log may have lost its end (a server took over that lacked it, or the log was restored): nothing
    /// was written. Read it again, then decide.
    #[error("what this rests on was read before the log may have lost its end")]
    Outdated,
    /// Too many appends are waiting already. It may be sent again later.
    #[error("the log is busy: {0}")]
    Busy(String),
    /// The database did not answer in time, or the log is being closed: it is not known whether the append was written.
    #[error("the log is not available: {0}")]
    Unavailable(String),
    /// Postgres refused.
    #[error(transparent)]
    Storage(#[from] sqlx::Error),
}
