//! The requester of an import that a background job runs. They may have been locked, or have lost a permission, since they requested it,
//! so the command of each chunk looks them up again: users in the log of the user service, machines in that of the auth service
//! ([`executor::Work::standing_of_caller`]). The user service looks them up in its own log, so that its appends
//! [rely](executor::Work::rely) on what was found.

use std::borrow::Borrow;
use std::collections::BTreeSet;

use chrono::TimeDelta;
use executor::Standing;
use kernel::Refusal;
use tokio::time::Instant;

/// How long the permissions in a token count if its bearer is neither a user nor a machine: these can't be revoked.
const TOKEN_PERMISSIONS_LIFETIME: TimeDelta = TimeDelta::hours(1);

/// How long ago an import was requested. It grows by the monotonic clock, so that a wall clock that is set ahead ends no import.
#[derive(Clone, Copy, Debug)]
pub struct RequestAge {
    at_first: TimeDelta,
    since: Instant,
}

impl RequestAge {
    /// The age of an import that is now this old, by the clock that recorded its request.
    pub fn from_now(age: TimeDelta) -> Self {
        Self { at_first: age, since: Instant::now() }
    }

    fn now(self) -> TimeDelta {
        TimeDelta::from_std(self.since.elapsed()).map_or(TimeDelta::MAX, |more| self.at_first + more)
    }
}

/// The permissions with which an import goes on whose requester now has this `standing`; `None` if those that they had when they requested
/// it still count. `needed`: the permissions without which it does not go on.
///
/// # Errors
/// `importer_inactive`: the requester may not sign in any more. `importer_not_allowed`: they lack one of the permissions.
/// `importer_unknown`: they are neither a user nor a machine, and the hour for which their token is trusted is over.
pub fn current_permissions<P: Borrow<str> + Ord>(
    standing: Standing<P>,
    needed: &[&str],
    age: RequestAge,
) -> Result<Option<BTreeSet<P>>, Refusal> {
    let permissions = match standing {
        Standing::Active(permissions) => permissions,
        Standing::Inactive => {
            let detail = "the requester of this import can't sign in any more, so it was stopped";
            return Err(Refusal::forbidden("importer_inactive", detail));
        }
        Standing::Unknown if age.now() <= TOKEN_PERMISSIONS_LIFETIME => return Ok(None),
        Standing::Unknown => {
            let detail = "the requester of this import is neither a user nor a machine of the tenant, and the permissions in their token count for one hour only, so it was stopped; send the file again";
            return Err(Refusal::forbidden("importer_unknown", detail));
        }
    };
    match needed.iter().find(|needed| !permissions.contains(**needed)) {
        None => Ok(Some(permissions)),
        Some(lost) => {
            let detail = format!("the requester of this import no longer has the permission {lost}, so it was stopped");
            Err(Refusal::forbidden("importer_not_allowed", detail).with("permission", *lost))
        }
    }
}
