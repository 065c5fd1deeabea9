//! Commands on endpoints, and their answers.

use kernel::{Caller, Position, Versions};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The context of a command.
#[derive(Clone, Debug)]
pub struct Request {
    /// The caller, and thereby the tenant.
    pub caller: Caller,
    /// The `Idempotency-Key`: a repeated request gets the first answer.
    pub command_id: Option<String>,
    /// SHA-256 of the request's content, to detect another request with the same key.
    pub request_hash: [u8; 32],
    /// `If-Match`: the versions that the endpoint must have.
    pub if_match: Option<Versions>,
}

/// An endpoint's configuration as sent; not checked yet.
#[derive(Clone, Debug, Default)]
pub struct EndpointFields {
    /// The URL.
    pub url: String,
    /// Patterns of event types; empty: all types.
    pub types: Vec<String>,
    /// The purpose, for people.
    pub description: String,
}

/// A command on an endpoint. A tenant has at most 50 endpoints per service.
#[derive(Clone, Debug)]
pub enum EndpointCommand {
    /// Creates an endpoint. It gets the events from now on, or those after a position.
    Create {
        /// Its configuration.
        fields: EndpointFields,
        /// The position after which it gets events, instead of from now on.
        after: Option<Position>,
    },
    /// Replaces an endpoint's configuration.
    Change {
        /// The endpoint.
        id: Uuid,
        /// The whole configuration.
        fields: EndpointFields,
    },
    /// Enables an endpoint, which continues from its cursor. A failing one is tried at once.
    Enable {
        /// The endpoint.
        id: Uuid,
    },
    /// Disables an endpoint. Its cursor is kept.
    Disable {
        /// The endpoint.
        id: Uuid,
        /// The reason, for people.
        reason: String,
    },
    /// Gives an endpoint a new secret. Messages are also signed with the former one for some hours.
    RotateSecret {
        /// The endpoint.
        id: Uuid,
        /// How long the former secret stays valid, 0 to 168 hours.
        overlap_hours: u32,
    },
    /// Sets an endpoint's cursor: all events after this position are delivered (again).
    Replay {
        /// The endpoint.
        id: Uuid,
        /// The position; at most that of the log's end.
        after: Position,
    },
    /// Removes an endpoint with its deliveries. Its changes are kept.
    Remove {
        /// The endpoint.
        id: Uuid,
    },
}

impl EndpointCommand {
    /// The name in the list of changes.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Create { .. } => "created",
            Self::Change { .. } => "changed",
            Self::Enable { .. } => "enabled",
            Self::Disable { .. } => "disabled",
            Self::RotateSecret { .. } => "secret_rotated",
            Self::Replay { .. } => "replayed",
            Self::Remove { .. } => "removed",
        }
    }

    /// Whether the caller needs the permission to read the service's events: the endpoint may get some because of this command, or the
    /// answer has the secret with which its receiver tells them from forged ones.
    pub(super) const fn needs_history(&self) -> bool {
        match self {
            Self::Create { .. }
            | Self::Change { .. }
            | Self::Enable { .. }
            | Self::RotateSecret { .. }
            | Self::Replay { .. } => true,
            Self::Disable { .. } | Self::Remove { .. } => false,
        }
    }
}

/// The answer to a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// The endpoint.
    pub id: Uuid,
    /// Its version after the command: the ETag.
    pub version: u64,
    /// The new secret (`whsec_…`), which is only shown once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

/// The result of an accepted command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// The answer.
    pub changed: Changed,
    /// Whether the same request (by its key) was accepted before; then nothing was changed now.
    pub repeated: bool,
}
