//! What asks for jobs.

use kernel::Refusal;

/// The same circumstances, for what is no event: it can't be said to have happened at another time, and it has no version.
///
/// # Errors
/// `header_invalid` when a header says otherwise.
pub fn job_request(asked: &executor::Request) -> Result<jobs::Request, Refusal> {
    crate::beside_the_log(asked, "jobs")?;
    Ok(jobs::Request {
        caller: asked.caller.clone(),
        command_id: asked.command_id.clone(),
        request_hash: asked.request_hash,
    })
}
