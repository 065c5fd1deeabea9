//! Requests for background jobs.

use kernel::Refusal;

/// Converts the request of a command for an operation on jobs.
///
/// # Errors
/// As for [`request_beside_the_log`](crate::request_beside_the_log).
pub fn job_request(asked: &executor::Request) -> Result<jobs::Request, Refusal> {
    crate::request_beside_the_log(asked, "jobs")
}
