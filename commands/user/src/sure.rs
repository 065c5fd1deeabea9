//! What only somebody does who has shown a moment ago who they are: what can't be undone, and what gives away who they are. An application has
//! its tokens for longer, as has whoever stole one.

use chrono::{DateTime, TimeDelta, Utc};
use executor::Work;
use kernel::{Caller, Refusal, SURE_FOR, UserId};

/// By how much clocks may differ: what is later than now by more is no time at which anybody showed anything.
const CLOCKS_DIFFER: TimeDelta = TimeDelta::minutes(1);

/// Refuses somebody of whom it is long ago that they showed who they are. Where no token says when (one of the installation's own key, a
/// machine's), it is not asked.
///
/// # Errors
/// `sign_in_too_old` (RFC 9470).
pub fn sure(caller: &Caller, now: DateTime<Utc>) -> Result<(), Refusal> {
    if caller.shown_at().is_none_or(|at| kernel::is_sure(at, now, CLOCKS_DIFFER)) {
        return Ok(());
    }
    let detail = format!(
        "this requires a sign-in within the last {} minutes: sign in again (max_age={}), and send the request with the new token",
        SURE_FOR.num_minutes(),
        SURE_FOR.num_seconds()
    );
    Err(Refusal::unauthenticated("sign_in_too_old", detail))
}

/// The same where it is about themselves: what is done to others goes by what one may.
pub(crate) fn sure_of_oneself(work: &Work<'_>, user: UserId) -> Result<(), Refusal> {
    let caller = work.caller();
    if caller.subject() == user.to_string() { sure(caller, work.now()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test's tenant")]
    fn who_showed_it_within_ten_minutes_is_sure_and_who_did_it_by_a_clock_that_was_ahead_is_not() {
        let (now, tenant) = (DateTime::UNIX_EPOCH, kernel::TenantId::vouched(uuid::Uuid::nil()));
        let caller = |at| Caller::holding(tenant, "ada", std::collections::BTreeSet::new()).who_showed_at(at);
        assert!(sure(&caller(None), now).is_ok());
        for (seconds, is_sure) in [(600, true), (601, false), (0, true), (-60, true), (-61, false)] {
            let shown = sure(&caller(Some(now - TimeDelta::seconds(seconds))), now);
            assert_eq!(shown.is_ok(), is_sure, "{seconds} seconds ago");
        }
    }
}
