//! The leases of this process's running jobs. One statement renews all of them.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use crate::Jobs;
use crate::claim::Claimed;

/// How many times a lease is renewed during its length.
const RENEWALS: u32 = 3;

/// The pause before a failed renewal is tried again; shorter if leases are short.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// The timing of renewals. Even if two renewals fail, each after its full time limit, there is time for a third one before the lease
/// expires.
#[derive(Clone, Copy, Debug)]
struct RenewalTiming {
    /// From the start of a successful renewal to the next one.
    interval: Duration,
    /// The time limit of one renewal.
    limit: Duration,
    /// From a failed renewal to the next one.
    retry: Duration,
}

impl RenewalTiming {
    fn of(lease: Duration) -> Self {
        let interval = lease / RENEWALS;
        Self { interval, limit: interval / 2, retry: RETRY_PAUSE.min(interval / 4) }
    }
}

/// The state of a lease, as the attempt that depends on it sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LeaseState {
    /// No other process can claim the job before this. Counted from before the statement that took or renewed the lease was sent, so it
    /// ends earlier here than by the database's clock.
    pub(crate) until: Instant,
    /// Whether the job was asked to stop.
    pub(crate) to_stop: bool,
}

impl LeaseState {
    /// Whether the lease has expired, so that another process may have claimed the job.
    pub(crate) fn is_over(self) -> bool {
        self.until <= Instant::now()
    }
}

struct Lease {
    tenant: Uuid,
    job: Uuid,
    state: watch::Sender<LeaseState>,
}

/// The leases that this process holds, by their ids.
#[derive(Default)]
pub(crate) struct Leases(Mutex<HashMap<Uuid, Lease>>);

/// A guard: the lease is renewed until this is dropped.
pub(crate) struct LeaseGuard<'a> {
    leases: &'a Leases,
    id: Uuid,
    /// The lease's current state.
    pub(crate) state: watch::Receiver<LeaseState>,
}

impl Drop for LeaseGuard<'_> {
    fn drop(&mut self) {
        self.leases.all().remove(&self.id);
    }
}

impl Leases {
    /// Renews this lease from now on, together with the others.
    pub(crate) fn hold(&self, claimed: &Claimed) -> LeaseGuard<'_> {
        let (sender, state) = watch::channel(LeaseState { until: claimed.until, to_stop: false });
        let lease = Lease { tenant: claimed.tenant.uuid(), job: claimed.id, state: sender };
        self.all().insert(claimed.lease, lease);
        LeaseGuard { leases: self, id: claimed.lease, state }
    }

    /// The number of leases.
    pub(crate) fn count(&self) -> usize {
        self.all().len()
    }

    fn all(&self) -> MutexGuard<'_, HashMap<Uuid, Lease>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Renews the process's leases, for as long as it runs jobs; at once when a job may have been asked to stop.
pub(crate) async fn keep_renewed(jobs: Jobs) {
    let inner = &*jobs.inner;
    let RenewalTiming { interval, limit, retry } = RenewalTiming::of(inner.settings.lease);
    loop {
        let asked = Instant::now();
        // A renewal that exceeds its time limit is repeated on another connection.
        let wait = match timeout(limit, renew(&jobs)).await {
            Ok(Ok(true)) => interval.saturating_sub(asked.elapsed()),
            Ok(Ok(false)) | Err(_) => retry,
            Ok(Err(error)) => {
                tracing::debug!(%error, service = %inner.service, "leases could not be renewed");
                retry
            }
        };
        tokio::select! {
            () = inner.wakes.stop.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Renews all leases, and publishes their states. Returns false if a job's row is locked because its handler is writing; such rows are
/// skipped, not waited for. (Transactions that only make sure that a job is still theirs do not block this: they use `FOR KEY SHARE`.)
async fn renew(jobs: &Jobs) -> Result<bool, sqlx::Error> {
    let inner = &*jobs.inner;
    let held: Vec<(Uuid, Uuid, Uuid)> =
        inner.leases.all().iter().map(|(id, lease)| (*id, lease.tenant, lease.job)).collect();
    if held.is_empty() {
        return Ok(true);
    }
    let asked = Instant::now();
    let rows: Vec<(Uuid, bool, bool)> = sqlx::query_as(
        "WITH held AS (
             SELECT h.tenant_id, h.job_id, h.lease FROM unnest($1::uuid[], $2::uuid[], $3::uuid[]) AS h (lease, tenant_id, job_id)),
         free AS (
             SELECT j.tenant_id, j.job_id FROM held h JOIN jobs.jobs j USING (tenant_id, job_id, lease)
             FOR NO KEY UPDATE OF j SKIP LOCKED),
         renewed AS (
             UPDATE jobs.jobs j SET leased_until = clock_timestamp() + $4 FROM free
             WHERE j.tenant_id = free.tenant_id AND j.job_id = free.job_id
             RETURNING j.lease)
         SELECT j.lease, renewed.lease IS NOT NULL, j.cancel_requested_at IS NOT NULL
         FROM held h JOIN jobs.jobs j USING (tenant_id, job_id, lease) LEFT JOIN renewed ON renewed.lease = j.lease",
    )
    .bind(held.iter().map(|(lease, _, _)| *lease).collect::<Vec<_>>())
    .bind(held.iter().map(|(_, tenant, _)| *tenant).collect::<Vec<_>>())
    .bind(held.iter().map(|(_, _, job)| *job).collect::<Vec<_>>())
    .bind(inner.settings.lease)
    .fetch_all(&inner.work)
    .await?;
    let stand: HashMap<Uuid, (bool, bool)> =
        rows.into_iter().map(|(lease, renewed, to_stop)| (lease, (renewed, to_stop))).collect();
    let all = inner.leases.all();
    for (id, _, _) in &held {
        // Jobs that ended meanwhile have no lease any more.
        let Some(lease) = all.get(id) else { continue };
        lease.state.send_modify(|state| match stand.get(id) {
            None => state.until = asked,
            Some((renewed, to_stop)) => {
                state.to_stop |= to_stop;
                if *renewed {
                    state.until = asked + inner.settings.lease;
                }
            }
        });
    }
    Ok(stand.values().all(|(renewed, _)| *renewed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;

    #[test]
    fn when_two_renewals_hang_the_third_has_its_time_before_the_lease_is_over() {
        for lease in [Settings::default().lease, Duration::from_millis(30), Duration::from_hours(1)] {
            let RenewalTiming { interval, limit, retry } = RenewalTiming::of(lease);
            assert!(interval + 2 * (limit + retry) + limit <= lease, "{lease:?}: {:?}", RenewalTiming::of(lease));
        }
    }
}
