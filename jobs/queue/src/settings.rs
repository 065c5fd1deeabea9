//! How jobs are run.

use std::time::Duration;

use sha2::{Digest, Sha256};
use uuid::Uuid;

/// How jobs are run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many a process runs at the same time.
    pub concurrency: usize,
    /// How many of one tenant all processes together run at the same time.
    pub per_tenant: u32,
    /// How long a job keeps its place, before it gives way at its next step to a tenant of whom less runs and who has no place.
    pub stretch: Duration,
    /// How long a job stays with a process that shows no sign of life. It renews what it holds three times meanwhile.
    pub lease: Duration,
    /// How long a handler may take to notice that it is cancelled, before it is dropped.
    pub grace: Duration,
    /// The wait after the first failure; it doubles with each.
    pub first_retry: Duration,
    /// The longest wait.
    pub longest_retry: Duration,
    /// How often a runner looks by itself: the word that wakes it may be lost.
    pub look: Duration,
    /// How often what is over for long is removed, and the rest is counted.
    pub sweep: Duration,
    /// How long what is over is kept, with its log and what it made; and under which id it was asked for, since the answer to a repeated
    /// request names the job.
    pub keep: Duration,
    /// How long what failed for good is kept, with what it was asked for and its log: a person may mend the cause and retry it.
    pub keep_discarded: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            concurrency: 4,
            per_tenant: 2,
            stretch: Duration::from_secs(10),
            lease: Duration::from_secs(8),
            grace: Duration::from_secs(10),
            first_retry: Duration::from_secs(5),
            longest_retry: Duration::from_mins(30),
            look: Duration::from_secs(5),
            sweep: Duration::from_secs(15),
            keep: Duration::from_hours(7 * 24),
            keep_discarded: Duration::from_hours(30 * 24),
        }
    }
}

impl Settings {
    /// How long to wait after attempt number `attempt` (from 1) failed: doubled each time, and between half and all of that, so
    /// that what failed together does not come back together. The same job and attempt wait the same.
    pub(crate) fn backoff(&self, job: Uuid, attempt: u32) -> Duration {
        let doubled = self.first_retry.saturating_mul(2_u32.saturating_pow(attempt.saturating_sub(1)));
        let digest = Sha256::new().chain_update(job.as_bytes()).chain_update(attempt.to_be_bytes()).finalize();
        let chance = f64::from(u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])) / f64::from(u32::MAX);
        doubled.min(self.longest_retry).mul_f64(0.5 + 0.5 * chance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_differ_from_job_to_job() {
        let settings = Settings::default();
        for attempt in 1..=40 {
            let whole =
                settings.first_retry.saturating_mul(2_u32.saturating_pow(attempt - 1)).min(settings.longest_retry);
            let wait = settings.backoff(Uuid::from_u128(7), attempt);
            assert!(wait >= whole / 2 && wait <= whole, "attempt {attempt}: {wait:?} of {whole:?}");
        }
        let waits: std::collections::BTreeSet<_> = (0..100).map(|n| settings.backoff(Uuid::from_u128(n), 3)).collect();
        assert!(waits.len() > 90, "{waits:?}");
    }
}
