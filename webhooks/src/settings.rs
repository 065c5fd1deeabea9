//! The settings of webhooks.

use std::time::Duration;

use deadletters::Backoff;

use crate::{Guard, RandomSource};

/// The settings of webhooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Which addresses may be reached.
    pub guard: Guard,
    /// How long a receiver may take to answer.
    pub timeout: Duration,
    /// The pauses between attempts, without jitter; also those of parked events.
    pub backoff: Backoff,
    /// After this many attempts in a row that the receiver refused because of the event itself (400, 413, 415, 422), the event is parked.
    pub park_after: u32,
    /// How long an endpoint may fail before it is disabled automatically.
    pub disable_after: Duration,
    /// An endpoint with parked events of this many aggregates is disabled automatically: its receiver expects something else.
    pub most_parked: usize,
    /// The number of concurrent requests.
    pub sending: usize,
    /// The number of concurrent requests of one tenant, so that slow receivers do not delay other tenants.
    pub sending_of_tenant: usize,
    /// The number of deliveries of an endpoint that are stored for people to view.
    pub kept: u32,
    /// The polling interval of the deliverer, for all endpoints at once, in case a wake-up was lost; that of an endpoint's parked events; and
    /// how long a cursor that was moved only past unwanted events may stay unstored.
    pub poll_interval: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            guard: Guard::default(),
            timeout: Duration::from_secs(10),
            backoff: Backoff::default(),
            park_after: 5,
            disable_after: Duration::from_hours(5 * 24),
            most_parked: 1_000,
            sending: 64,
            sending_of_tenant: 8,
            kept: 1_000,
            poll_interval: Duration::from_secs(5),
        }
    }
}

impl Settings {
    /// The longest pause between two attempts, including jitter.
    pub(crate) fn longest_pause(&self) -> Duration {
        self.backoff.longest.mul_f64(1.2)
    }

    /// The number of attempts in a row without which an endpoint is not disabled automatically: half of what there is time for with the
    /// longest pauses. If the clock is set ahead, a failure of seconds looks like one of days.
    pub(crate) fn least_attempts(&self) -> u32 {
        let pause = self.longest_pause().max(Duration::from_millis(1));
        (self.disable_after.as_secs_f64() / pause.as_secs_f64() / 2.0) as u32
    }

    /// The pause after this many failed attempts in a row. It doubles each time, with a jitter of up to 20 %, so that endpoints that failed
    /// together are not all retried at the same time.
    pub(crate) fn pause(&self, attempts: u32, random: &dyn RandomSource) -> Duration {
        self.backoff.pause(attempts).mul_f64(0.8 + 0.4 * random.unit())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemRandomSource;

    #[test]
    fn whoever_fails_for_so_long_has_made_more_attempts_than_it_takes() {
        let settings = Settings::default();
        let (pause, attempt) = (settings.longest_pause(), settings.timeout);
        let fewest = settings.disable_after.as_secs() / (pause + attempt).as_secs();
        assert!((40..fewest).contains(&u64::from(settings.least_attempts())), "{fewest}");
    }

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
