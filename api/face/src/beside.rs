//! Requests about what is no event.

use kernel::Refusal;

/// Refuses the headers of commands that can't be meant: what is no event can't be said to have happened at another time, and has
/// no version. `what` names them in the plural.
///
/// # Errors
/// `header_invalid` when one of them is there.
pub fn beside_the_log(asked: &executor::Request, what: &str) -> Result<(), Refusal> {
    let refused = |header: &str, why: &str| {
        let detail = format!("the header {header} is not allowed here: {what} {why}");
        Err(Refusal::invalid("header_invalid", detail).with("header", header))
    };
    if asked.occurred_at.is_some() {
        return refused("occurred-at", "are asked for and changed now");
    }
    if asked.if_match.is_some() {
        return refused("if-match", "have no versions");
    }
    Ok(())
}
