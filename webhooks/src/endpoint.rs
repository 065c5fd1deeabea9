//! What tenants and their people see: endpoints and what was delivered to them.

use chrono::{DateTime, Utc};
use kernel::{Position, TypePatterns};
use uuid::Uuid;

/// A place to which a tenant's events are delivered.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    /// Its id.
    pub id: Uuid,
    /// Raised by each change: the ETag.
    pub version: u64,
    /// Where.
    pub url: String,
    /// What.
    pub types: TypePatterns,
    /// What it is for, in the words of whoever made it.
    pub description: String,
    /// Whether events are sent, and if not, why.
    pub state: State,
    /// Whether a former secret signs, too, and until when.
    pub former_secret_until: Option<DateTime<Utc>>,
    /// Everything up to here was delivered, or is not wanted.
    pub position: Position,
    /// Where the log ends.
    pub head: Position,
    /// How often the event that comes next has failed to be delivered.
    pub attempts: u32,
    /// Since when it fails.
    pub failing_since: Option<DateTime<Utc>>,
    /// When it is tried again; none: nothing failed, or it is disabled.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// How many events were delivered.
    pub delivered: u64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub changed_at: DateTime<Utc>,
}

/// Whether events are sent to an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// They are.
    Enabled,
    /// They are, and the last attempt failed.
    Failing,
    /// They are not.
    Disabled {
        /// Why.
        reason: String,
    },
}

impl State {
    /// The state's name on the wire.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Failing => "failing",
            Self::Disabled { .. } => "disabled",
        }
    }
}

impl Endpoint {
    /// Positions of the log that were not looked at yet.
    pub const fn lag(&self) -> u64 {
        self.head.0.saturating_sub(self.position.0)
    }
}

/// What somebody did with an endpoint. Kept when the endpoint goes.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The endpoint's version after it.
    pub version: u64,
    /// Who: the subject of a token, or `inopsio`, when it was disabled because it failed.
    pub actor: String,
    /// When.
    pub changed_at: DateTime<Utc>,
    /// What: `created`, `changed`, `enabled`, `disabled`, `secret_rotated`, `replayed` or `removed`.
    pub change: String,
    /// More of it, JSON; never a secret.
    pub detail: serde_json::Value,
}

/// One attempt to deliver one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Its own id: later ones are greater.
    pub id: Uuid,
    /// The `webhook-id`: the event's id, the same in each attempt; a ping has one of its own.
    pub message_id: Uuid,
    /// The event's type.
    pub event_type: String,
    /// Where the event stands in the log; none: a ping.
    pub position: Option<Position>,
    /// Which attempt it was, from 1.
    pub attempt: u32,
    /// When.
    pub sent_at: DateTime<Utc>,
    /// Milliseconds until there was an answer, or none.
    pub duration_ms: u64,
    /// The HTTP status of the answer.
    pub status: Option<u16>,
    /// What went wrong; none: it was delivered.
    pub error: Option<String>,
    /// The beginning of what the receiver answered.
    pub response: String,
}
