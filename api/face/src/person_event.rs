//! An event as it is shown to the person whom it is about.

use chrono::{DateTime, Utc};
use kernel::{Position, RecordedEvent};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::{Example, example};

/// An event about a person.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PersonEvent {
    /// The position of the event in the log.
    pub position: u64,
    /// The event type, such as `user.user.registered`.
    pub event: String,
    /// When it happened.
    pub occurred_at: DateTime<Utc>,
    /// When the log recorded it.
    pub recorded_at: DateTime<Utc>,
    /// On whose behalf it was recorded: the subject of a token.
    pub by: String,
    /// The content of the event.
    pub data: Value,
}

impl Example for PersonEvent {
    fn example() -> Self {
        Self {
            position: 12,
            event: "user.user.role_granted".to_owned(),
            occurred_at: example::time(0),
            recorded_at: example::time(0),
            by: example::id(3).to_string(),
            data: serde_json::json!({ "event": "user.user.role_granted", "role": "manager" }),
        }
    }
}

impl From<&RecordedEvent> for PersonEvent {
    fn from(event: &RecordedEvent) -> Self {
        let Position(position) = event.position;
        Self {
            position,
            event: event.event_type.clone(),
            occurred_at: event.occurred_at,
            recorded_at: event.recorded_at,
            by: event.decode_metadata().map(|metadata| metadata.actor).unwrap_or_default(),
            data: serde_json::from_slice(&event.payload).unwrap_or_default(),
        }
    }
}
