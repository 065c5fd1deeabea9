//! The interface of the executor: [`Command`], the [`Request`] that carries it, and its result ([`Done`]).

use std::future::Future;

use chrono::{DateTime, Utc};
use kernel::{Caller, Position, Refusal, Versions};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::Work;

/// A command: an operation of the write side, with its input. Implement it once per operation.
///
/// [`run`](Self::run) may be called several times for one request, because it is retried after a version conflict. So it must have no
/// effect but the changes that it collects in [`Work`].
pub trait Command: Send + Sync {
    /// The permission that the caller needs: `service:resource:action`.
    const PERMISSION: &'static str;

    /// The command's answer. It is stored with the events under the command's id, and returned again to a repeated request.
    type Answer: Serialize + DeserializeOwned + Send;

    /// Validates the input, reads aggregates, and collects events and claims in `work`. If it returns an error, nothing is written.
    fn run(&self, work: &mut Work<'_>) -> impl Future<Output = Result<Self::Answer, Refusal>> + Send;
}

/// The context of a command: its caller, its id, and tracing data.
#[derive(Clone, Debug)]
pub struct Request {
    /// The caller. Their tenant is the tenant of the command.
    pub caller: Caller,
    /// The `Idempotency-Key`: 1 to 255 printable ASCII characters. `None`: the caller will not repeat the request.
    pub command_id: Option<String>,
    /// SHA-256 of method, path and body. It tells a repeated request from another request that reuses the command id.
    pub request_hash: [u8; 32],
    /// `If-Match`: the accepted versions of the first aggregate that the command changes.
    pub if_match: Option<Versions>,
    /// When the change happened, if earlier than now. Needs the permission `<service>:history:backdate`.
    pub occurred_at: Option<DateTime<Utc>>,
    /// The correlation id: the same for everything that one original request causes.
    pub correlation_id: Uuid,
    /// The causation id: the id of the request or event that caused this command.
    pub causation_id: Uuid,
    /// W3C trace context.
    pub traceparent: Option<String>,
}

/// The result of a command that was carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done<T> {
    /// The command's answer.
    pub answer: T,
    /// Version of the first aggregate that got a command, even one without effect, or else of the first that was read; used as the ETag.
    /// 0 if there was none.
    pub version: u64,
    /// Position in the log: a read model that has processed it shows the change.
    pub position: Position,
    /// True if the command was carried out by an earlier request; `answer` is then the answer of that time.
    pub repeated: bool,
}
