//! Rate limits in an aggregate's state: the times of the last actions, and when the next one is allowed.

use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize};

/// The times of the most recent actions of one kind, in the order in which they were recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LastTimes(Vec<DateTime<Utc>>);

impl LastTimes {
    /// Records an action at `now`. Each limit allows a number of actions within a duration. Only as many times are kept as the largest of
    /// these numbers.
    ///
    /// ```
    /// let (second, minute) = (chrono::TimeDelta::seconds(1), chrono::TimeDelta::minutes(1));
    /// let limits = [(1, second), (2, minute)];
    /// let (mut times, begin) = (kernel::LastTimes::default(), chrono::DateTime::UNIX_EPOCH);
    /// assert_eq!(times.waits_until(begin, &limits), None);
    /// times.note(begin, &limits);
    /// assert_eq!(times.waits_until(begin, &limits), Some(begin + second));
    /// times.note(begin + second, &limits);
    /// assert_eq!(times.waits_until(begin + second * 2, &limits), Some(begin + minute));
    /// assert_eq!(times.waits_until(begin + minute, &limits), None);
    /// ```
    pub fn note(&mut self, now: DateTime<Utc>, limits: &[(usize, Duration)]) {
        self.0.push(now);
        let kept = limits.iter().map(|(most, _)| *most).max().unwrap_or_default();
        self.0.drain(..self.0.len().saturating_sub(kept));
    }

    /// The time from which the next action is within all limits; `None`: it is allowed now.
    pub fn waits_until(&self, now: DateTime<Utc>, limits: &[(usize, Duration)]) -> Option<DateTime<Utc>> {
        let until = limits.iter().filter_map(|(most, within)| {
            // Sorted, because the clock may have been set back between two actions.
            let mut counted: Vec<_> = self.0.iter().copied().filter(|at| crate::pauses(*at, *within, now)).collect();
            counted.sort_unstable();
            Some(*counted.iter().rev().nth(most.saturating_sub(1))? + *within)
        });
        until.max()
    }
}
