//! Requests for background jobs.

use kernel::Refusal;

/// Converts the request of a command for an operation on jobs.
///
/// # Errors
/// As for [`idempotent_request`](crate::idempotent_request).
pub fn job_request(asked: &executor::Request) -> Result<jobs::Request, Refusal> {
    crate::idempotent_request(asked, "jobs")
}
