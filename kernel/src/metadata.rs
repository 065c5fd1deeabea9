//! [`EventMetadata`]: who caused an event, why and when.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Stored beside each event's payload, as a flat JSON object of strings, which `cqrs-es` can read too. The tenant is not in it: it is a
/// column of the log, and part of the log's key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventMetadata {
    /// The subject of the token with which the command was sent.
    pub actor: String,
    /// The id of the command: the `Idempotency-Key`, an id derived by a saga or an import, or one that we generated.
    pub command_id: String,
    /// The id that everything caused by one original request shares.
    pub correlation_id: Uuid,
    /// The direct cause: the id of the request, or of the event to which a saga reacted.
    pub causation_id: Uuid,
    /// When it happened, according to the caller. It differs from the log's `recorded_at` only with the `backdate` permission.
    pub occurred_at: DateTime<Utc>,
    /// The permissions that the command required and its caller had, separated by spaces: the command's own, and
    /// `<service>:history:backdate` where the caller stated the time. `None`: the event was written before this was recorded, or not by a
    /// command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permissions: Option<String>,
    /// W3C trace context of the request, so that one trace spans the HTTP request and the projections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}
