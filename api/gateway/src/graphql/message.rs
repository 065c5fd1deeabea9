//! The messages of graphql-transport-ws
//! (<https://github.com/graphql/graphql-over-http/blob/main/rfcs/GraphQLOverWebSocket.md>).

use poem::web::websocket::Message;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::request::ParsedRequest;

/// A message of a client.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ClientMessage {
    /// The first message: authenticates the client by the payload's member `Authorization`. The member `X-Tenant-Id` may name the tenant.
    ConnectionInit {
        #[serde(default)]
        payload: Option<Map<String, Value>>,
    },
    /// A keep-alive, to be answered with a pong.
    Ping {
        #[serde(default)]
        payload: Option<Value>,
    },
    /// The answer to a ping.
    Pong {
        #[serde(default)]
        #[serde(rename = "payload")]
        _payload: Option<Value>,
    },
    /// Starts an operation.
    Subscribe {
        /// The client's id of the operation.
        id: String,
        /// The GraphQL request.
        payload: ParsedRequest,
    },
    /// Ends an operation.
    Complete {
        /// The client's id of the operation.
        id: String,
    },
}

/// Why the server closes a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The server stops; the client may reconnect.
    GoingAway,
    /// A message can't be parsed.
    BadMessage,
    /// An operation was started before `connection_init`.
    Unauthorized,
    /// The token is not accepted, or has expired.
    Forbidden,
    /// No `connection_init` came in time.
    InitTimeout,
    /// The id of an operation is already in use.
    AlreadyExists,
    /// `connection_init` came twice.
    TooManyInits,
    /// More concurrent operations than allowed.
    TooMany,
}

impl CloseReason {
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

/// Accepts the connection.
pub fn ack() -> Message {
    text(&json!({ "type": "connection_ack" }))
}

/// Answers a ping.
pub fn pong(payload: Option<Value>) -> Message {
    match payload {
        Some(payload) => text(&json!({ "type": "pong", "payload": payload })),
        None => text(&json!({ "type": "pong" })),
    }
}

/// A keep-alive.
pub fn ping() -> Message {
    text(&json!({ "type": "ping" }))
}

/// A result of an operation.
pub fn next(id: &str, payload: &Value) -> Message {
    text(&json!({ "id": id, "type": "next", "payload": payload }))
}

/// The errors of an operation that can't be executed. They end it.
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
