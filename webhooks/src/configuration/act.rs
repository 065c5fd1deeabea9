//! What can be asked, and what is answered.

use kernel::{Caller, Position, Versions};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The circumstances of an act.
#[derive(Clone, Debug)]
pub struct Request {
    /// Who asks; the tenant is theirs.
    pub caller: Caller,
    /// `Idempotency-Key`: the same again gets the first answer.
    pub command_id: Option<String>,
    /// SHA-256 of what makes the request the same request.
    pub request_hash: [u8; 32],
    /// `If-Match`: the versions of which the endpoint must be.
    pub if_match: Option<Versions>,
}

/// What an endpoint is, as sent; checked when it is taken over.
#[derive(Clone, Debug, Default)]
pub struct EndpointFields {
    /// Where.
    pub url: String,
    /// Patterns of event types; none: every type.
    pub types: Vec<String>,
    /// What it is for.
    pub description: String,
}

/// What can be done with endpoints. A tenant has 50 of a service at most.
#[derive(Clone, Debug)]
pub enum Act {
    /// Sets one up: it gets what happens from now on, or after this position.
    Create {
        /// What it is.
        fields: EndpointFields,
        /// After this position, instead of from now on.
        after: Option<Position>,
    },
    /// Replaces what it is.
    Change {
        /// Which.
        id: Uuid,
        /// All of it.
        fields: EndpointFields,
    },
    /// Sends to it again, from where it was; a failing one is tried at once.
    Enable {
        /// Which.
        id: Uuid,
    },
    /// Sends nothing to it any more; where it is, is kept.
    Disable {
        /// Which.
        id: Uuid,
        /// Why, for people.
        reason: String,
    },
    /// Gives it a new secret. The former one signs, too, for so many hours.
    RotateSecret {
        /// Which.
        id: Uuid,
        /// 0 to 168.
        overlap_hours: u32,
    },
    /// Sets where it is: everything after this position is delivered (again).
    Replay {
        /// Which.
        id: Uuid,
        /// Up to the log's end.
        after: Position,
    },
    /// Takes it away with its deliveries; who did what with it is kept.
    Remove {
        /// Which.
        id: Uuid,
    },
}

impl Act {
    /// Its name in the list of changes.
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

    /// Whether something is sent because of it that would not be without.
    pub(super) const fn sends(&self) -> bool {
        matches!(self, Self::Create { .. } | Self::Change { .. } | Self::Enable { .. } | Self::Replay { .. })
    }
}

/// What an act changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// Which endpoint.
    pub id: Uuid,
    /// Its version after it: the ETag.
    pub version: u64,
    /// A new secret, which is not shown again: `whsec_…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

/// An act that was carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// What it changed.
    pub changed: Changed,
    /// It was carried out before, under the same id.
    pub repeated: bool,
}
