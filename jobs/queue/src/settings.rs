//! The settings of the job queue.

use std::time::Duration;

use kernel::Backoff;
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// The settings of the job queue.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The number of jobs that a process runs concurrently.
    pub concurrency: usize,
    /// The number of jobs of one tenant that all processes together run concurrently.
    pub per_tenant: u32,
    /// A job's time slice. After it, the job gives up its slot at its next step, if a tenant with fewer running jobs has no slot.
    pub time_slice: Duration,
    /// The length of a lease: how long a job stays with a process that has died. A lease is renewed three times during its length.
    pub lease: Duration,
    /// How long a cancelled handler may take to stop, before it is dropped.
    pub grace: Duration,
    /// The pauses between attempts, without jitter.
    pub backoff: Backoff,
    /// The polling interval of runners, because the messages that wake them may be lost.
    pub poll_interval: Duration,
    /// How often old jobs are removed, and open ones counted.
    pub sweep: Duration,
    /// How long completed and cancelled jobs are kept, with their logs and files. Request ids are kept as long, because the answer to a
    /// repeated request names the job.
    pub keep: Duration,
    /// How long discarded jobs are kept, with their arguments and logs: a person may fix the cause and retry them.
    pub keep_discarded: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            concurrency: 4,
            per_tenant: 2,
            time_slice: Duration::from_secs(10),
            lease: Duration::from_secs(8),
            grace: Duration::from_secs(10),
            backoff: Backoff { first: Duration::from_secs(5), longest: Duration::from_mins(30) },
            poll_interval: Duration::from_secs(5),
            sweep: Duration::from_secs(15),
            keep: Duration::from_hours(7 * 24),
            keep_discarded: Duration::from_hours(30 * 24),
        }
    }
}

impl Settings {
    /// The pause after attempt number `attempt` (from 1) failed. It doubles each time, with a jitter of up to one half, so that jobs that
    /// failed together are not all retried at the same time. It is the same for the same job and attempt.
    pub(crate) fn pause(&self, job: Uuid, attempt: u32) -> Duration {
        let pause = self.backoff.pause(attempt);
        let digest = Sha256::new().chain_update(job.as_bytes()).chain_update(attempt.to_be_bytes()).finalize();
        let chance = f64::from(u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])) / f64::from(u32::MAX);
        pause.mul_f64(0.5 + 0.5 * chance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_shortens_a_wait_by_one_half_at_most_and_differs_from_job_to_job() {
        let settings = Settings::default();
        for attempt in 1..=40 {
            let whole = settings.backoff.pause(attempt);
            let wait = settings.pause(Uuid::from_u128(7), attempt);
            assert!(wait >= whole / 2 && wait <= whole, "attempt {attempt}: {wait:?} of {whole:?}");
        }
        let waits: std::collections::BTreeSet<_> = (0..100).map(|n| settings.pause(Uuid::from_u128(n), 3)).collect();
        assert!(waits.len() > 90, "{waits:?}");
    }
}
