//! When something was done, and how often it may be.

use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize};

/// When something was done, the last times.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LastTimes(Vec<DateTime<Utc>>);

impl LastTimes {
    /// It is done now; `limits`: how often it may be, each at most so many times within so long. What is before all of them is forgotten.
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

    /// From when it may be done again within these limits, if not now.
    pub fn waits_until(&self, now: DateTime<Utc>, limits: &[(usize, Duration)]) -> Option<DateTime<Utc>> {
        let until = limits.iter().filter_map(|(most, within)| {
            // In order also where a clock was set back between them.
            let mut counted: Vec<_> = self.0.iter().copied().filter(|at| crate::pauses(*at, *within, now)).collect();
            counted.sort_unstable();
            Some(*counted.iter().rev().nth(most.saturating_sub(1))? + *within)
        });
        until.max()
    }
}
