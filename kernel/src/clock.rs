//! Time and identifiers, injected: nothing below the composition root reads a clock or rolls a die by itself.

use std::sync::Mutex;

use chrono::{DateTime, Duration, DurationRound, Utc};
use uuid::Uuid;

/// Where "now" comes from. UTC, whole microseconds: what Postgres keeps of a `timestamptz`.
pub trait Clock: Send + Sync + 'static {
    /// The current time.
    fn now(&self) -> DateTime<Utc>;
}

/// Where new identifiers come from.
pub trait IdSource: Send + Sync + 'static {
    /// A fresh UUID version 7 (RFC 9562): sorts by the time it was made.
    fn next(&self) -> Uuid;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    fn now(&self) -> DateTime<Utc> {
        to_micros(Utc::now())
    }
}

/// UUIDs of version 7 from the machine's clock and randomness.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemIds;

impl IdSource for SystemIds {
    #[expect(clippy::disallowed_methods, reason = "the one place that makes identifiers")]
    fn next(&self) -> Uuid {
        Uuid::now_v7()
    }
}

/// A clock that a test moves by hand.
#[derive(Debug)]
pub struct ManualClock(Mutex<DateTime<Utc>>);

impl ManualClock {
    /// A clock that stands at `start`.
    pub fn at(start: DateTime<Utc>) -> Self {
        Self(Mutex::new(to_micros(start)))
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) += by;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Cuts a time to whole microseconds, so that what we hash is what Postgres gives back.
pub fn to_micros(time: DateTime<Utc>) -> DateTime<Utc> {
    time.duration_trunc(Duration::microseconds(1)).unwrap_or(time)
}

/// Whether something that was done at `since` is not to be done again at `now`: for as long as `pause` after it. What was done later than
/// now was done by a clock that was ahead: nobody waits until it is that late.
///
/// ```
/// let (mailed, pause) = (chrono::DateTime::UNIX_EPOCH, chrono::TimeDelta::minutes(2));
/// assert!(kernel::pauses(mailed, pause, mailed));
/// assert!(!kernel::pauses(mailed, pause, mailed + pause));
/// assert!(!kernel::pauses(mailed, pause, mailed - pause));
/// ```
pub fn pauses(since: DateTime<Utc>, pause: Duration, now: DateTime<Utc>) -> bool {
    (since..since + pause).contains(&now)
}

/// How long ago something was. None: later than now, by more than clocks `may_differ`: one was ahead, and when it really was is not known.
///
/// ```
/// let (now, second) = (chrono::DateTime::UNIX_EPOCH, chrono::TimeDelta::seconds(1));
/// assert_eq!(kernel::ago(now - second, now, second), Some(second));
/// assert_eq!(kernel::ago(now + second, now, second), Some(-second));
/// assert_eq!(kernel::ago(now + second * 2, now, second), None);
/// ```
pub fn ago(at: DateTime<Utc>, now: DateTime<Utc>, may_differ: Duration) -> Option<Duration> {
    let ago = now - at;
    (ago >= -may_differ).then_some(ago)
}
