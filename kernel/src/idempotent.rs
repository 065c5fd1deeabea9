//! Idempotent requests that write no events (commands that write events use the executor's own request type).

use std::time::Duration;

use crate::Caller;

/// How long the answers to requests with an `Idempotency-Key` are kept that are stored outside the log (webhooks, dead letters): 30 days.
/// Answers in the log are kept as long as the log. The answer to a request for a job names the job, and is kept as long as jobs are
/// (`jobs::Settings::keep`).
pub const ANSWER_RETENTION: Duration = Duration::from_hours(30 * 24);

/// How often answers that are older than [`ANSWER_RETENTION`] are removed.
pub const ANSWER_SWEEP_INTERVAL: Duration = Duration::from_hours(1);

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
