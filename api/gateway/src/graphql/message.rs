//! The messages of graphql-transport-ws
//! (<https://github.com/graphql/graphql-over-http/blob/main/rfcs/GraphQLOverWebSocket.md>).

use poem::web::websocket::Message;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::request::Asked;

/// What a client says.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ClientMessage {
    /// First of all: who it is, in the payload's member `Authorization`.
    ConnectionInit {
        #[serde(default)]
        payload: Option<Map<String, Value>>,
    },
    /// Are you there?
    Ping {
        #[serde(default)]
        payload: Option<Value>,
    },
    /// I am here.
    Pong {
        #[serde(default)]
        #[serde(rename = "payload")]
        _payload: Option<Value>,
    },
    /// Begin an operation.
    Subscribe {
        /// The client's name for it.
        id: String,
        /// What it asks.
        payload: Asked,
    },
    /// End an operation.
    Complete {
        /// The client's name for it.
        id: String,
    },
}

/// Why a connection is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The server stops; come again.
    GoingAway,
    /// A message can't be read.
    BadMessage,
    /// Something was asked before `connection_init`.
    Unauthorized,
    /// The token is not accepted, or has expired.
    Forbidden,
    /// No `connection_init` in time.
    InitTimeout,
    /// An operation's name is in use.
    AlreadyExists,
    /// `connection_init` came twice.
    TooManyInits,
    /// More operations at once than allowed.
    TooMany,
}

impl Ending {
    /// The close frame.
    pub fn frame(self) -> Message {
        let (code, reason): (u16, &str) = match self {
            Self::GoingAway => (1001, "Going away"),
            Self::BadMessage => (4400, "Invalid message"),
            Self::Unauthorized => (4401, "Unauthorized"),
            Self::Forbidden => (4403, "Forbidden"),
            Self::InitTimeout => (4408, "Connection initialisation timeout"),
            Self::AlreadyExists => (4409, "Subscriber already exists"),
            Self::TooManyInits => (4429, "Too many initialisation requests"),
            Self::TooMany => (4430, "Too many subscriptions"),
        };
        Message::close_with(code, reason)
    }
}

/// The connection is ready.
pub fn ack() -> Message {
    text(&json!({ "type": "connection_ack" }))
}

/// I am here.
pub fn pong(payload: Option<Value>) -> Message {
    match payload {
        Some(payload) => text(&json!({ "type": "pong", "payload": payload })),
        None => text(&json!({ "type": "pong" })),
    }
}

/// Are you there?
pub fn ping() -> Message {
    text(&json!({ "type": "ping" }))
}

/// A result of an operation.
pub fn next(id: &str, payload: &Value) -> Message {
    text(&json!({ "id": id, "type": "next", "payload": payload }))
}

/// An operation can't be carried out; it ends with this.
pub fn error(id: &str, errors: &Value) -> Message {
    text(&json!({ "id": id, "type": "error", "payload": errors }))
}

/// An operation has ended.
pub fn complete(id: &str) -> Message {
    text(&json!({ "id": id, "type": "complete" }))
}

fn text(message: &Value) -> Message {
    Message::text(message.to_string())
}
