//! Requests that are carried out once, however often they are sent.

use std::time::Duration;

use crate::Caller;

/// How long the first answer to a request with an `Idempotency-Key` is kept where it stands beside the log (webhooks, dead letters): 30 days.
/// Answers in the log are kept as long as it. An answer about jobs names a job, and is kept as long as jobs are (`jobs::Settings::keep`).
pub const ANSWER_RETENTION: Duration = Duration::from_hours(30 * 24);

/// How often answers that are older than [`ANSWER_RETENTION`] are removed.
pub const ANSWER_SWEEP_INTERVAL: Duration = Duration::from_hours(1);

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
