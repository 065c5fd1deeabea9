//! What asks for jobs.

use kernel::Refusal;

/// The same circumstances, for what is no event: it can't be said to have happened at another time, and it has no version.
///
/// # Errors
/// `header_invalid` when a header says otherwise.
pub fn job_request(asked: &executor::Request) -> Result<jobs::Request, Refusal> {
    let refused = |header: &str, why: &str| {
        let detail = format!("the header {header} is not allowed here: {why}");
        Err(Refusal::invalid("header_invalid", detail).with("header", header))
    };
    if asked.occurred_at.is_some() {
        return refused("occurred-at", "jobs are asked for and changed now");
    }
    if asked.if_match.is_some() {
        return refused("if-match", "jobs have no versions");
    }
    Ok(jobs::Request {
        caller: asked.caller.clone(),
        command_id: asked.command_id.clone(),
        request_hash: asked.request_hash,
    })
}
