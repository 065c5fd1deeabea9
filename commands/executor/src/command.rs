//! What is asked: a command, the request that carries it, and what comes back.

use std::future::Future;

use chrono::{DateTime, Utc};
use kernel::{Caller, Position, Refusal, Versions};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::Work;

/// Something that a caller may ask of the write side, with all that it needs to know.
///
/// [`run`](Self::run) may be called several times for one request (another writer was faster): it collects its changes in
/// [`Work`] and has no other effect.
pub trait Command: Send + Sync {
    /// The permission it needs, `service:resource:action`.
    const PERMISSION: &'static str;

    /// What it answers. Stored with the events under the command's id, so that a repetition gets the same.
    type Answer: Serialize + DeserializeOwned + Send;

    /// Checks, reads, decides; collects events and claims in `work`. An error means that nothing is written.
    fn run(&self, work: &mut Work<'_>) -> impl Future<Output = Result<Self::Answer, Refusal>> + Send;
}

/// The circumstances of a command: who asks, under which id, and what for.
#[derive(Clone, Debug)]
pub struct Request {
    /// Who asks; the tenant is theirs.
    pub caller: Caller,
    /// `Idempotency-Key`: 1 to 255 printable ASCII characters. None: the caller does not repeat.
    pub command_id: Option<String>,
    /// SHA-256 of what makes the request the same request: method, path, body.
    pub request_hash: [u8; 32],
    /// `If-Match`: the versions of which the first aggregate that the command changes must be.
    pub if_match: Option<Versions>,
    /// When it happened, if not now. Needs the permission `<service>:history:backdate`.
    pub occurred_at: Option<DateTime<Utc>>,
    /// The same through everything that one request caused.
    pub correlation_id: Uuid,
    /// What caused this.
    pub causation_id: Uuid,
    /// W3C trace context.
    pub traceparent: Option<String>,
}

/// A command that was carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done<T> {
    /// What the command answers.
    pub answer: T,
    /// Version of the first aggregate that it touched: the ETag. 0 when it touched none.
    pub version: u64,
    /// A read model that has come this far shows what was done.
    pub position: Position,
    /// This command was carried out before; this is the answer of that time.
    pub repeated: bool,
}
