//! Injected time and identifiers: only the composition root uses the machine's clock and random numbers; all other code gets them through
//! these traits.

use std::sync::Mutex;

use chrono::{DateTime, Duration, DurationRound, Utc};
use uuid::Uuid;

/// The source of the current time, in UTC and whole microseconds, which is the precision of a Postgres `timestamptz`.
pub trait Clock: Send + Sync + 'static {
    /// The current time.
    fn now(&self) -> DateTime<Utc>;
}

/// The source of new identifiers.
pub trait IdSource: Send + Sync + 'static {
    /// A fresh UUID version 7 (RFC 9562), which sorts by its time of creation.
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

/// UUIDs version 7 from the machine's clock and random numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemIds;

impl IdSource for SystemIds {
    #[expect(clippy::disallowed_methods, reason = "the one place that makes identifiers")]
    fn next(&self) -> Uuid {
        Uuid::now_v7()
    }
}

/// A clock for tests, which moves only when it is told to.
#[derive(Debug)]
pub struct ManualClock(Mutex<DateTime<Utc>>);

impl ManualClock {
    /// A clock that shows `start`.
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

/// Truncates a time to whole microseconds, so that the time that is hashed equals the one that Postgres returns.
pub fn to_micros(time: DateTime<Utc>) -> DateTime<Utc> {
    time.duration_trunc(Duration::microseconds(1)).unwrap_or(time)
}

/// Whether `now` is within the `pause` that follows an action done at `since`: the action must not be repeated yet. A `since` in the future
/// was recorded by a clock that ran ahead, and does not count: nobody has to wait until then.
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

/// How long ago `at` was. `None`: `at` is in the future by more than `may_differ`, the allowed clock difference, so that the real time is
/// unknown. Within that difference the result may be negative.
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
