//! Recent authentication: sensitive actions need a caller who authenticated a short time ago.

use chrono::{DateTime, Duration, Utc};

/// How long after authenticating a person may do sensitive actions: those that can't be undone (erasure), that reveal personal data (the
/// export of one's own data), or that change how the person authenticates or is reached. This stops somebody who finds an open browser or
/// steals a token.
pub const MAX_AUTHENTICATION_AGE: Duration = Duration::minutes(10);

/// Whether `authenticated_at`, the time of the last authentication, is recent enough at `now`. `may_differ` is the allowed clock
/// difference.
///
/// ```
/// let (now, second) = (chrono::DateTime::UNIX_EPOCH, chrono::TimeDelta::seconds(1));
/// assert!(kernel::is_recent_authentication(now - kernel::MAX_AUTHENTICATION_AGE, now, second));
/// assert!(!kernel::is_recent_authentication(now - kernel::MAX_AUTHENTICATION_AGE - second, now, second));
/// assert!(!kernel::is_recent_authentication(now + second * 2, now, second));
/// ```
pub fn is_recent_authentication(authenticated_at: DateTime<Utc>, now: DateTime<Utc>, may_differ: Duration) -> bool {
    crate::ago(authenticated_at, now, may_differ).is_some_and(|ago| ago <= MAX_AUTHENTICATION_AGE)
}
