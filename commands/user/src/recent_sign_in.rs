//! Requires a recent authentication for actions that can't be undone or that change how a user is identified. A token alone is not enough:
//! an application keeps it longer, and it may be stolen.

use chrono::{DateTime, TimeDelta, Utc};
use executor::Work;
use kernel::{Caller, MAX_AUTHENTICATION_AGE, Refusal, UserId};

/// Tolerated clock skew. An authentication time that is further in the future does not count.
const CLOCK_SKEW: TimeDelta = TimeDelta::minutes(1);

/// Refuses a caller whose last authentication is too long ago. Tokens that have no authentication time (signed with the installation's own
/// key, or of a machine) are not checked.
///
/// # Errors
/// `sign_in_too_old` (RFC 9470).
pub fn require_recent_sign_in(caller: &Caller, now: DateTime<Utc>) -> Result<(), Refusal> {
    if caller.authenticated_at().is_none_or(|at| kernel::is_recent_authentication(at, now, CLOCK_SKEW)) {
        return Ok(());
    }
    let detail = format!(
        "this requires a sign-in within the last {} minutes: sign in again (max_age={}), and send the request with the new token",
        MAX_AUTHENTICATION_AGE.num_minutes(),
        MAX_AUTHENTICATION_AGE.num_seconds()
    );
    Err(Refusal::unauthenticated("sign_in_too_old", detail))
}

/// As [`require_recent_sign_in`], but only if callers act on themselves. Actions on others depend on permissions alone.
pub(crate) fn require_recent_sign_in_for_oneself(work: &Work<'_>, user: UserId) -> Result<(), Refusal> {
    let caller = work.caller();
    if caller.subject() == user.to_string() { require_recent_sign_in(caller, work.now()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test's tenant")]
    fn who_showed_it_within_ten_minutes_is_sure_and_who_did_it_by_a_clock_that_was_ahead_is_not() {
        let (now, tenant) = (DateTime::UNIX_EPOCH, kernel::TenantId::vouched(uuid::Uuid::nil()));
        let caller = |at| Caller::holding(tenant, "ada", std::collections::BTreeSet::new()).with_authenticated_at(at);
        assert!(require_recent_sign_in(&caller(None), now).is_ok());
        for (seconds, is_recent) in [(600, true), (601, false), (0, true), (-60, true), (-61, false)] {
            let shown = require_recent_sign_in(&caller(Some(now - TimeDelta::seconds(seconds))), now);
            assert_eq!(shown.is_ok(), is_recent, "{seconds} seconds ago");
        }
    }
}
