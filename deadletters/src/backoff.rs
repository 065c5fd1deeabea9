//! The pauses between attempts to process a parked event.

use std::time::Duration;

/// Pauses that double from the first to the longest. A jitter of up to 20 % is applied when the next attempt is scheduled ([`SPREAD`]), so
/// that events that failed together are not all retried at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The pause after the first failure.
    pub first: Duration,
    /// The longest pause.
    pub longest: Duration,
}

/// The jitter, as a factor in SQL. It is computed in the database, because next attempts are scheduled by its clock.
pub(crate) const SPREAD: &str = "(0.8 + 0.4 * random())";

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_secs(1), longest: Duration::from_hours(1) }
    }
}

impl Backoff {
    /// The pause after this many failed attempts, in seconds.
    pub(crate) fn seconds(&self, attempts: u32) -> f64 {
        let doubled = self.first.saturating_mul(2_u32.saturating_pow(attempts.saturating_sub(1).min(30)));
        doubled.min(self.longest).as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let backoff = Backoff::default();
        for (attempts, seconds) in [(0, 1.0), (1, 1.0), (2, 2.0), (5, 16.0), (13, 3_600.0), (u32::MAX, 3_600.0)] {
            assert!((backoff.seconds(attempts) - seconds).abs() < 1e-9, "{attempts}");
        }
    }
}
