//! What asks for jobs.

use kernel::Refusal;

/// The same circumstances, for a request about jobs.
///
/// # Errors
/// `header_invalid` when a header says otherwise.
pub fn job_request(asked: &executor::Request) -> Result<jobs::Request, Refusal> {
    crate::request_beside_the_log(asked, "jobs")
}
