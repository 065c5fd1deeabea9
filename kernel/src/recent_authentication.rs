//! Recent authentication: sensitive actions need a caller who authenticated a short time ago.

use chrono::{DateTime, Duration, Utc};

/// How long after authenticating a person may do sensitive actions: those that can't be undone (erasure), that reveal personal data (the
/// export of one's own data), or that change how the person authenticates or is reached. This stops somebody who finds an open browser or
/// steals a token.
pub const SURE_FOR: Duration = Duration::minutes(10);

/// Whether `shown_at`, the time of the last authentication, is recent enough at `now`. `may_differ` is the allowed clock difference.
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
