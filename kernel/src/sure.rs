//! Who has shown a moment ago who they are.

use chrono::{DateTime, Duration, Utc};

/// How long somebody who has shown who they are may do what asks for that: what can't be undone, what gives away who they are, and what
/// changes by what they show it. Whoever found a browser that was left open, or stole a token, comes later.
pub const SURE_FOR: Duration = Duration::minutes(10);

/// Whether somebody who showed who they are at this time has done so a moment ago, where clocks `may_differ`.
///
/// ```
/// let (now, second) = (chrono::DateTime::UNIX_EPOCH, chrono::TimeDelta::seconds(1));
/// assert!(kernel::is_sure(now - kernel::SURE_FOR, now, second));
/// assert!(!kernel::is_sure(now - kernel::SURE_FOR - second, now, second));
/// assert!(!kernel::is_sure(now + second * 2, now, second));
/// ```
pub fn is_sure(shown_at: DateTime<Utc>, now: DateTime<Utc>, may_differ: Duration) -> bool {
    crate::ago(shown_at, now, may_differ).is_some_and(|ago| ago <= SURE_FOR)
}
