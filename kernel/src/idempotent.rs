//! Idempotent requests that write no events (commands that write events use the executor's own request type).

use crate::Caller;

/// The caller of a request and what identifies a repetition of it.
#[derive(Clone, Debug)]
pub struct IdempotentRequest {
    /// The caller, and through them the tenant.
    pub caller: Caller,
    /// `Idempotency-Key`: a repetition with the same key and the same hash gets the first answer.
    pub command_id: Option<String>,
    /// SHA-256 of the parts of the request that a repetition must have in common.
    pub request_hash: [u8; 32],
}
