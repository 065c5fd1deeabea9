//! Requests that are carried out once, however often they are sent.

use crate::Caller;

/// Who asks, and what makes the request the same request: for what is no event. (Commands that the log takes say more.)
#[derive(Clone, Debug)]
pub struct IdempotentRequest {
    /// Who asks; the tenant is theirs.
    pub caller: Caller,
    /// `Idempotency-Key`: the same again gets the first answer.
    pub command_id: Option<String>,
    /// SHA-256 of what makes the request the same request.
    pub request_hash: [u8; 32],
}
