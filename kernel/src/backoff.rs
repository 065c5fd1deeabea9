//! The pauses between attempts.

use std::time::Duration;

/// Pauses between attempts: the first, doubled up to the longest. Where many may fail at the same moment, whoever waits adds a jitter.
///
/// ```
/// use std::time::Duration;
///
/// let backoff = kernel::Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(10) };
/// let pauses = [1, 2, 3, 4, 5, 6].map(|failures| backoff.pause(failures).as_secs());
/// assert_eq!(pauses, [1, 2, 4, 8, 10, 10]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The pause after the first failure.
    pub first: Duration,
    /// The longest pause.
    pub longest: Duration,
}

impl Default for Backoff {
    /// From one second to one hour, for work that is retried until it succeeds or a person decides.
    fn default() -> Self {
        Self { first: Duration::from_secs(1), longest: Duration::from_hours(1) }
    }
}

impl Backoff {
    /// The pause after so many failures in a row, from 1.
    pub fn pause(self, failures: u32) -> Duration {
        self.first.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1))).min(self.longest)
    }

    /// The pause that follows `pause`, for those who keep the last one instead of a count.
    pub fn after(self, pause: Duration) -> Duration {
        pause.saturating_mul(2).min(self.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let backoff = Backoff::default();
        for (failures, seconds) in [(0, 1), (1, 1), (2, 2), (5, 16), (13, 3_600), (u32::MAX, 3_600)] {
            assert_eq!(backoff.pause(failures), Duration::from_secs(seconds), "{failures}");
        }
    }

    #[test]
    fn whoever_keeps_the_last_pause_has_the_same_ones() {
        let backoff = Backoff { first: Duration::from_millis(3), longest: Duration::from_millis(20) };
        let mut pause = backoff.first;
        for failures in 1..10 {
            assert_eq!(pause, backoff.pause(failures), "{failures}");
            pause = backoff.after(pause);
        }
    }
}
