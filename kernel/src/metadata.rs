//! What an event carries besides its payload: who, why, when.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Stored beside each event as one flat JSON object of strings, which is the form that `cqrs-es` reads too.
/// The tenant is not in it: it is a column of the log, and the log's key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventMetadata {
    /// The subject of the token in whose name the command came.
    pub actor: String,
    /// The id of the command (`Idempotency-Key`, derived by a saga or an import, or made by us).
    pub command_id: String,
    /// The same through everything that one request caused.
    pub correlation_id: Uuid,
    /// What caused this: the request's id, or the event that a saga answered to.
    pub causation_id: Uuid,
    /// When it happened in the caller's world; differs from the log's `recorded_at` only with the `backdate` permission.
    pub occurred_at: DateTime<Utc>,
    /// What the command needed and its caller had, separated by spaces: the command's permission, and `<service>:history:backdate`
    /// where it says when it happened. None: it was written before this was kept, or not by a command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permissions: Option<String>,
    /// W3C trace context of the request, so that one trace goes from HTTP to the projection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}
