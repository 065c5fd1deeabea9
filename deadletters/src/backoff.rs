//! How long a letter rests between two attempts.

use std::time::Duration;

/// Pauses that double from the first to the longest. Up to a fifth more or less is added where it is written down
/// ([`SPREAD`]), so that what failed together does not come back together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// After the first failure.
    pub first: Duration,
    /// At most.
    pub longest: Duration,
}

/// What a pause is multiplied with, in SQL: the database's own randomness, beside its own clock.
pub(crate) const SPREAD: &str = "(0.8 + 0.4 * random())";

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_secs(1), longest: Duration::from_hours(1) }
    }
}

impl Backoff {
    /// How long to wait after this many failed attempts, in seconds.
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
