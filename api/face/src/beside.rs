//! Requests about what is no event.

use kernel::{IdempotentRequest, Refusal};

/// Refuses the headers of commands that can't be meant: what is no event can't be said to have happened at another time, and has
/// no version. `what` names them in the plural.
///
/// # Errors
/// `header_invalid` when one of them is there.
pub fn beside_the_log(asked: &executor::Request, what: &str) -> Result<(), Refusal> {
    only_now(asked, what)?;
    if asked.if_match.is_some() {
        return Err(refused("if-match", what, "have no versions"));
    }
    Ok(())
}

/// The same circumstances, for what is no event; `what` names that in the plural.
///
/// # Errors
/// As for [`beside_the_log`].
pub fn request_beside_the_log(asked: &executor::Request, what: &str) -> Result<IdempotentRequest, Refusal> {
    beside_the_log(asked, what)?;
    Ok(IdempotentRequest {
        caller: asked.caller.clone(),
        command_id: asked.command_id.clone(),
        request_hash: asked.request_hash,
    })
}

/// As [`beside_the_log`], for what has versions.
///
/// # Errors
/// `header_invalid` when the request says another time.
pub fn only_now(asked: &executor::Request, what: &str) -> Result<(), Refusal> {
    if asked.occurred_at.is_some() {
        return Err(refused("occurred-at", what, "can only be requested and changed as of now"));
    }
    Ok(())
}

fn refused(header: &str, what: &str, why: &str) -> Refusal {
    let detail = format!("the header {header} is not allowed here: {what} {why}");
    Refusal::invalid("header_invalid", detail).with("header", header)
}
