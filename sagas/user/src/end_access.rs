//! Ends the sessions of a person who may no longer sign in, or who lost permissions, and the grants that they gave to applications in these
//! sessions. An erased person is also erased in the auth service.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use coordinator::follower::reserved_id;
use coordinator::{Definition, Fault, Next, Retry, Start, StartContext, Step, StepContext};
use kernel::{Position, RecordedEvent, UserId};
use serde::{Deserialize, Serialize};

use user_aggregates::User;

use crate::{Access, Ending, Ports};

/// The saga's name. The ids of its commands depend on it.
const NAME: &str = "end_access";

/// How long after an event the saga may still end sessions by itself; later it waits for a person.
const PATIENCE: TimeDelta = TimeDelta::days(1);

#[derive(Clone, Serialize, Deserialize)]
struct Parameters {
    user: UserId,
    reason: String,
    /// Whether the account is closed for ever.
    closes: bool,
    /// Whether the account's personal data is erased.
    #[serde(default)]
    erases: bool,
    /// The position of the event that started the saga.
    position: Position,
}

/// The events that end access, each with the reason's code and whether access ends for ever.
const ENDS: [(&str, &str, bool); 6] = [
    ("user.user.locked", "locked", false),
    ("user.user.deactivated", "deactivated", false),
    ("user.user.removed", "removed", true),
    ("user.user.erased", "erased", true),
    // Access tokens contain a person's roles. Tokens from before would keep a revoked role until they expire.
    ("user.user.role_revoked", "role_revoked", false),
    ("user.user.group_left", "group_left", false),
];

/// The event types that start the saga.
const STARTS_ON: [&str; ENDS.len()] = {
    let mut names = [""; ENDS.len()];
    let mut at = 0;
    while at < ENDS.len() {
        names[at] = ENDS[at].0;
        at += 1;
    }
    names
};

pub(crate) fn definition(ports: &Ports) -> Definition {
    let access = ports.access.clone();
    let end = move |context: StepContext, parameters: Parameters| end(access.clone(), context, parameters);
    // The pivot: what an administrator decided about somebody's access is not cancelled by who may look after sagas.
    let steps = vec![Step::new("end", end).retry(Retry { park: true, ..Retry::default() }).pivot()];
    Definition::new(NAME, 1, &[], &STARTS_ON, start, steps)
}

/// What the saga may be about to end because of one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueEnding {
    /// The reason's code.
    pub reason: &'static str,
    /// The id of the ending when the directory shows the event. It is always executed, by whomever.
    pub last: String,
    /// The id of the ending before that. It is only executed if the directory is late.
    pub first: String,
}

/// The endings that the saga may still be about to execute because of a user's events, oldest first. Whoever executes their commands before
/// takes them out of its hands (`docs/src/adr/0073`). Accounts that are to be closed are left to the saga.
pub fn due_endings(history: &[RecordedEvent], now: DateTime<Utc>) -> Vec<DueEnding> {
    let recent = history.iter().filter(|event| now - event.recorded_at < PATIENCE);
    let due = recent.filter_map(|event| {
        let &(_, reason, _) = ENDS.iter().find(|(name, _, closes)| *name == event.event_type && !closes)?;
        let reserved = reserved_id(NAME, event);
        Some(DueEnding { reason, last: once(&reserved, true), first: once(&reserved, false) })
    });
    due.collect()
}

/// The id of the command that ends sessions. `known`: the directory shows the event.
fn once(reserved: &str, known: bool) -> String {
    format!("{reserved}-{}", if known { "last" } else { "first" })
}

async fn start(_: StartContext, event: RecordedEvent) -> Result<Option<Start<Parameters>>, Fault> {
    let Some((_, reason, closes)) = ENDS.iter().find(|(name, ..)| *name == event.event_type) else { return Ok(None) };
    let user = event.aggregate_id.parse().map_err(|_| Fault::refused("user_id", "the id is no UUID"))?;
    let (reason, position) = ((*reason).to_owned(), event.position);
    let erases = kernel::personal::erases(&event.event_type);
    let parameters = Parameters { user, reason, closes: *closes, erases, position };
    Ok(Some(Start { key: event.aggregate_id, parameters }))
}

async fn end(access: Arc<dyn Access>, context: StepContext, parameters: Parameters) -> Result<Next, Fault> {
    let Parameters { user, reason, closes, erases, position } = parameters;
    let position = context.began_at::<User>(user).await?.unwrap_or(position);
    // Signing in looks up the person in the directory (a read model). While it lags behind this event, somebody may still sign in, so the
    // step is repeated until the directory has it.
    let known = access.is_known(context.tenant(), position).await;
    let once = once(&context.reserved_id(), known);
    let ending = Ending { tenant: context.tenant(), user, reason, closes, erases, once };
    access.end(&ending).await.map_err(|reason| Fault::transient("auth_unavailable", reason))?;
    if known {
        Ok(Next::done())
    } else {
        Err(Fault::transient("directory_behind", "the directory does not show it yet"))
    }
}
