//! Notices to people about changes of how they sign in: whoever takes over an account changes something, and can't keep its owner from
//! hearing of it. Nobody can switch them off.

use coordinator::Fault;
use kernel::{Aggregate, Personal, RecordedEvent, UserId};
use serde::{Deserialize, Serialize};

use crate::{decoded, unreadable};

/// The parameters of a saga that sends a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendNotice {
    /// The person whose account was changed.
    pub user: UserId,
    /// The number of the event in its stream, which stays the same when the tenant moves to another cell.
    pub sequence: u64,
}

impl SendNotice {
    /// The notice of an event in the stream of a person.
    ///
    /// # Errors
    /// `user_id`.
    pub fn of(event: &RecordedEvent) -> Result<Self, Fault> {
        let user = event.aggregate_id.parse().map_err(|_| Fault::refused("user_id", "the id is no UUID"))?;
        Ok(Self { user, sequence: event.sequence })
    }
}

/// The text of a notice. It contains nothing that somebody else may have written, except the two names, and no link that signs in.
#[derive(Clone, Copy, Debug)]
pub struct Notice<'n> {
    /// The person's name.
    pub name: &'n Personal<String>,
    /// The tenant's name, if it is known.
    pub tenant: Option<&'n str>,
    /// What was changed: sentences without the stop at the end.
    pub changes: &'n [&'static str],
    /// What to do for whoever knows nothing of it: sentences.
    pub advice: &'n str,
}

impl Notice<'_> {
    /// The text, for the change that `event` of this person's stream records. The time is that of the log, because a caller may be allowed
    /// to state another one.
    ///
    /// # Errors
    /// `history_unreadable`.
    pub fn text(&self, user: UserId, event: &RecordedEvent) -> Result<String, Fault> {
        let Self { name, tenant, changes, advice } = self;
        let metadata = event.decode_metadata().map_err(|error| unreadable(&error))?;
        let by = if metadata.actor == user.to_string() {
            "You did it, or somebody who could act as you"
        } else {
            "An administrator did it, or a program that acts for one"
        };
        Ok(format!(
            "Hello {name},\n\nat {at} something was changed about how you sign in{to}:\n\n- {changes}\n\n{by}. If you expected this, \
             there is nothing to do.\n\n{advice}\n",
            name = name.reveal(),
            at = event.recorded_at.format("%Y-%m-%d %H:%M UTC"),
            to = tenant.map(|name| format!(" to {name}")).unwrap_or_default(),
            changes = changes.join("\n- "),
        ))
    }
}

/// The state of an aggregate before the event with this number.
///
/// # Errors
/// `history_unreadable`.
pub fn state_before<A: Aggregate>(history: &[RecordedEvent], sequence: u64) -> Result<A, Fault> {
    let mut state = A::default();
    for event in history.iter().take_while(|event| event.sequence < sequence) {
        decoded::<A::Event>(event)?.into_iter().for_each(|event| state.evolve(event));
    }
    Ok(state)
}
