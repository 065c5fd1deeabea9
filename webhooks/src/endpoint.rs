//! Endpoints, their deliveries and their changes, as tenants see them.

use chrono::{DateTime, Utc};
use kernel::{Position, TypePatterns};
use uuid::Uuid;

/// An endpoint: a URL to which a tenant's events are delivered.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    /// The endpoint's id.
    pub id: Uuid,
    /// The version, which each change increments: the ETag.
    pub version: u64,
    /// The URL.
    pub url: String,
    /// The event types that it gets.
    pub types: TypePatterns,
    /// Its purpose, in the words of its tenant.
    pub description: String,
    /// Whether events are sent to it, and if not, why.
    pub state: State,
    /// Until when messages are also signed with the former secret; `None` if they are not.
    pub former_secret_until: Option<DateTime<Utc>>,
    /// The cursor: all events up to this position were delivered, parked, or not selected.
    pub position: Position,
    /// The position of the log's last event.
    pub head: Position,
    /// The number of failed attempts to deliver the next event.
    pub attempts: u32,
    /// When the first of these attempts failed.
    pub failing_since: Option<DateTime<Utc>>,
    /// When the next attempt is due; `None` if nothing failed, or the endpoint is disabled.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// The number of delivered events.
    pub delivered: u64,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub changed_at: DateTime<Utc>,
}

/// Whether events are sent to an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// They are sent.
    Enabled,
    /// They are sent, but the last attempt failed.
    Failing,
    /// They are not sent.
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
    /// How many positions of the log have not been processed.
    pub const fn lag(&self) -> u64 {
        self.head.0.saturating_sub(self.position.0)
    }
}

/// A change of an endpoint. Kept when the endpoint is removed.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The endpoint's version after the change.
    pub version: u64,
    /// The actor: the subject of a token, or `inopsio` if the endpoint was disabled automatically.
    pub actor: String,
    /// When it was changed.
    pub changed_at: DateTime<Utc>,
    /// The kind of change: `created`, `changed`, `enabled`, `disabled`, `secret_rotated`, `replayed` or `removed`.
    pub change: String,
    /// Details, as JSON; never a secret.
    pub detail: serde_json::Value,
}

/// One attempt to deliver one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The attempt's id. Later attempts have greater ids.
    pub id: Uuid,
    /// The `webhook-id`: the event's id, which is the same in each attempt. A ping has an id of its own.
    pub message_id: Uuid,
    /// The event's type.
    pub event_type: String,
    /// The event's position in the log; `None` for a ping.
    pub position: Option<Position>,
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// When it was sent.
    pub sent_at: DateTime<Utc>,
    /// Milliseconds until the answer or the failure.
    pub duration_ms: u64,
    /// The HTTP status of the answer; `None` if there was none.
    pub status: Option<u16>,
    /// Why it failed; `None` if it was delivered.
    pub error: Option<String>,
    /// The beginning of the answer's body.
    pub response: String,
}
