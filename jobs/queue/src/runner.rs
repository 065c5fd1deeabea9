//! The runner of a service's jobs. Each process has one, with a limited number of slots.

use std::time::Duration;

use eventstore::{SuspendedTenants, supervised};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::claim::{Claim, can_claim, claim, free_expired, next};
use crate::wakes::{Wake, WakeListener};
use crate::{Jobs, firing, leases, running, sweep};

/// The pause before a claim is repeated that another process's claim was in the way of.
const CONTENTION_PAUSE: Duration = Duration::from_millis(20);

/// Executes due jobs. The runners of all processes share the work through the tables.
#[derive(Clone)]
pub struct Runner {
    jobs: Jobs,
    suspended: SuspendedTenants,
}

impl Runner {
    /// Creates a runner; it does nothing before [`run`](Self::run).
    pub fn new(jobs: Jobs) -> Self {
        metrics::describe_counter!("inopsio_job_attempts_total", "Attempts to run jobs, by kind and outcome");
        metrics::describe_histogram!("inopsio_job_seconds", "Duration of attempts to run jobs");
        metrics::describe_histogram!("inopsio_job_lateness_seconds", "Delay between a job's due time and its start");
        metrics::describe_gauge!("inopsio_jobs", "Waiting and running jobs of all tenants");
        Self { jobs, suspended: SuspendedTenants::nobody() }
    }

    /// The same runner; the jobs and schedules of these tenants wait, and everybody's as long as they are not known. Jobs that run stop at
    /// their next step and continue there when their tenant is not among them any more.
    #[must_use]
    pub fn pausing(self, suspended: SuspendedTenants) -> Self {
        Self { suspended, ..self }
    }

    /// Runs until `shutdown`, and then releases its running jobs. Tolerates outages of the database and the bus.
    pub async fn run(self, shutdown: CancellationToken) {
        let inner = &*self.jobs.inner;
        for kind in inner.kinds.names() {
            // It begins at 0, so that an alert sees the first job that is given up.
            metrics::counter!(
                "inopsio_job_attempts_total", "service" => inner.service.name(), "kind" => kind, "outcome" => "discarded"
            )
            .increment(0);
        }
        // Dropped at the end of this function, after all jobs have ended.
        let mut renewals = JoinSet::new();
        let jobs = self.jobs.clone();
        let renewing = move |_| leases::keep_renewed(jobs.clone());
        renewals.spawn(supervised(format!("jobs/{}/leases", inner.service), CancellationToken::new(), renewing));
        let mut running = JoinSet::new();
        let mut listener = WakeListener::new(inner.bus.clone(), inner.service);
        let mut last_sweep: Option<Instant> = None;
        let mut suspended = self.suspended.clone();
        while !shutdown.is_cancelled() {
            // Subscribe before looking for work, so that no message is missed in between.
            listener.listen().await;
            let woken = inner.wakes.due.notified();
            let wait = match self.run_due(&mut running, &mut last_sweep, &shutdown).await {
                Ok(wait) => wait.min(inner.settings.poll_interval),
                Err(error) => {
                    tracing::debug!(%error, service = %inner.service, "jobs wait for their database");
                    inner.settings.poll_interval.min(Duration::from_secs(1))
                }
            };
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = woken => {}
                () = suspended.changed() => {}
                wake = listener.recv() => if let Wake::Stop = wake { inner.wakes.stop.notify_one(); },
                Some(_) = running.join_next(), if !running.is_empty() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
        while running.join_next().await.is_some() {}
    }

    /// Fires due schedules, and claims and starts due jobs. Returns the time until something changes by itself.
    async fn run_due(
        &self,
        running: &mut JoinSet<()>,
        last_sweep: &mut Option<Instant>,
        shutdown: &CancellationToken,
    ) -> Result<Duration, sqlx::Error> {
        let inner = &*self.jobs.inner;
        while running.try_join_next().is_some() {}
        let wanted = Claim::of(inner, &self.suspended);
        free_expired(&inner.work, inner.clock.now()).await?;
        // `next` also considers what becomes due from then on. It is a time of the database: after a time of ours, counted backwards
        // from when the database gets the statement, a schedule that became due while a connection was being waited for was missed.
        let checked_at = firing::fire(&self.jobs, &wanted).await?;
        while running.len() < inner.settings.concurrency && !shutdown.is_cancelled() {
            let room = inner.settings.concurrency - running.len();
            let claimed = claim(&inner.work, &*inner.ids, &wanted, room).await?;
            if claimed.is_empty() {
                if can_claim(&inner.work, &wanted).await? {
                    return Ok(CONTENTION_PAUSE);
                }
                break;
            }
            for claimed in claimed {
                // The claim selects only these kinds.
                let Some(kind) = inner.kinds.find(&claimed.kind).cloned() else { continue };
                running.spawn(running::run(self.jobs.clone(), kind, claimed, self.suspended.clone(), shutdown.clone()));
            }
            while running.try_join_next().is_some() {}
        }
        if last_sweep.is_none_or(|at| at.elapsed() >= inner.settings.sweep) {
            *last_sweep = Some(Instant::now());
            sweep::remove(&self.jobs).await?;
            sweep::count(&self.jobs).await?;
        }
        if running.len() >= inner.settings.concurrency {
            // All slots are taken: a job has to end first.
            return Ok(inner.settings.poll_interval);
        }
        Ok(next(&inner.work, checked_at).await?.unwrap_or(inner.settings.poll_interval))
    }
}
