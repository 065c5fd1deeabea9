//! Command headers of operations that record no events, or only events with the current time.

use kernel::{IdempotentRequest, Refusal};

/// Refuses `Occurred-At` and `If-Match` for an operation on something that is not event-sourced: it can't be backdated, and has no
/// version. `what` names the affected things in the plural, for the refusal.
///
/// # Errors
/// `header_invalid` when the request has one of these headers.
pub fn refuse_event_headers(asked: &executor::Request, what: &str) -> Result<(), Refusal> {
    refuse_backdating(asked, what)?;
    if asked.if_match.is_some() {
        return Err(refused("if-match", what, "have no versions"));
    }
    Ok(())
}

/// Converts the request of a command for an operation on something that is not event-sourced; `what` names that in the plural.
///
/// # Errors
/// As for [`refuse_event_headers`].
pub fn idempotent_request(asked: &executor::Request, what: &str) -> Result<IdempotentRequest, Refusal> {
    refuse_event_headers(asked, what)?;
    Ok(IdempotentRequest {
        caller: asked.caller.clone(),
        command_id: asked.command_id.clone(),
        request_hash: asked.request_hash,
    })
}

/// Refuses only `Occurred-At`, for operations that can't be backdated but have versions; `what` as for [`refuse_event_headers`].
///
/// # Errors
/// `header_invalid` when the request has the header.
pub fn refuse_backdating(asked: &executor::Request, what: &str) -> Result<(), Refusal> {
    if asked.occurred_at.is_some() {
        return Err(refused("occurred-at", what, "can only be requested and changed as of now"));
    }
    Ok(())
}

fn refused(header: &str, what: &str, why: &str) -> Refusal {
    let detail = format!("the header {header} is not allowed here: {what} {why}");
    Refusal::invalid("header_invalid", detail).with("header", header)
}
