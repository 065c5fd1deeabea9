//! What can be tuned.

use std::time::Duration;

use deadletters::Backoff;

use crate::{Guard, RandomSource};

/// How webhooks are delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where they may go.
    pub guard: Guard,
    /// How long a receiver may take to answer.
    pub timeout: Duration,
    /// How long after the first failure an event is tried again; each further time twice as long.
    pub first_retry: Duration,
    /// The longest pause between two attempts.
    pub longest_retry: Duration,
    /// After so many attempts in a row an event that the receiver refuses as such (400, 413, 415, 422) is parked.
    pub park_after: u32,
    /// How long an endpoint may fail before it is disabled.
    pub disable_after: Duration,
    /// An endpoint that refused the events of so many aggregates is disabled: it takes something else than it was told to.
    pub most_parked: usize,
    /// How many endpoints are sent to at the same time.
    pub sending: usize,
    /// How many of these may be one tenant's: receivers that are slow, or silent, keep no other tenant waiting.
    pub sending_of_tenant: usize,
    /// How many deliveries of an endpoint are kept for people to look at.
    pub kept: u32,
    /// How often it is looked whether there is something that nobody told of, and how long a cursor that only passed over
    /// unwanted events may wait to be stored.
    pub look: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            guard: Guard::default(),
            timeout: Duration::from_secs(10),
            first_retry: Duration::from_secs(1),
            longest_retry: Duration::from_hours(1),
            park_after: 5,
            disable_after: Duration::from_hours(5 * 24),
            most_parked: 1_000,
            sending: 64,
            sending_of_tenant: 8,
            kept: 1_000,
            look: Duration::from_secs(5),
        }
    }
}

impl Settings {
    /// How long a parked event rests between two attempts.
    pub(crate) fn backoff(&self) -> Backoff {
        Backoff { first: self.first_retry, longest: self.longest_retry }
    }

    /// The longest that anything waits for its next attempt.
    pub(crate) fn longest_pause(&self) -> Duration {
        self.longest_retry.mul_f64(1.2)
    }

    /// How long to wait after this many failed attempts in a row: twice as long each time, and up to a fifth more or less, so
    /// that those who failed together do not come back together.
    pub(crate) fn pause(&self, attempts: u32, random: &dyn RandomSource) -> Duration {
        let doubled = self.first_retry.saturating_mul(2_u32.saturating_pow(attempts.saturating_sub(1).min(30)));
        doubled.min(self.longest_retry).mul_f64(0.8 + 0.4 * random.unit())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemRandomSource;

    #[test]
    fn pauses_double_up_to_the_longest_and_differ() {
        let settings = Settings::default();
        for (attempts, seconds) in [(1, 1.0), (2, 2.0), (5, 16.0), (13, 3_600.0), (4_000_000_000, 3_600.0)] {
            let pause = settings.pause(attempts, &SystemRandomSource).as_secs_f64();
            assert!((0.8 * seconds..=1.2 * seconds).contains(&pause), "{attempts}: {pause}");
        }
        let pauses: std::collections::BTreeSet<_> = (0..20).map(|_| settings.pause(5, &SystemRandomSource)).collect();
        assert!(pauses.len() > 1);
    }
}
