//! Executing one attempt of a job.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use eventstore::SuspendedTenants;
use futures::FutureExt;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::claim::Claimed;
use crate::leases::LeaseState;
use crate::settle::{Ending, settle};
use crate::{Fault, Jobs, Kind, Work};

/// The pause before a failed write of the outcome is repeated.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Executes an attempt, and writes its outcome.
pub(crate) async fn run(
    jobs: Jobs,
    kind: Kind,
    claimed: Claimed,
    suspended: SuspendedTenants,
    shutdown: CancellationToken,
) {
    let inner = &*jobs.inner;
    let begun = Instant::now();
    let mut held = inner.leases.hold(&claimed);
    metrics::histogram!("inopsio_job_lateness_seconds", "service" => inner.service.name(), "kind" => kind.name)
        .record(claimed.late.as_secs_f64());
    let cancelled = CancellationToken::new();
    let work = Work { jobs: jobs.clone(), claimed: claimed.clone(), suspended, cancelled, begun };
    let ending = attempt(&jobs, &kind, work, &mut held.state, &shutdown).await;
    let outcome = write(&jobs, &claimed, ending).await;
    if outcome == "discarded" {
        // Without the reason, which may quote personal data. It is stored with the job.
        tracing::warn!(
            service = %inner.service, kind = kind.name, job = %claimed.id, tenant = %claimed.tenant,
            "a job is given up; see why, and retry it (inopsio job)"
        );
    }
    metrics::counter!(
        "inopsio_job_attempts_total", "service" => inner.service.name(), "kind" => kind.name, "outcome" => outcome
    )
    .increment(1);
    metrics::histogram!("inopsio_job_seconds", "service" => inner.service.name(), "kind" => kind.name)
        .record(begun.elapsed().as_secs_f64());
    drop(held);
    // The tenant may run one more job now.
    jobs.wake().await;
}

/// Runs the handler until it returns, or has to stop.
async fn attempt(
    jobs: &Jobs,
    kind: &Kind,
    work: Work,
    lease: &mut watch::Receiver<LeaseState>,
    shutdown: &CancellationToken,
) -> Ending {
    let cancelled = work.cancelled.clone();
    let mut handler = AssertUnwindSafe((kind.handler)(work)).catch_unwind().boxed();
    let limit = tokio::time::sleep(kind.time_limit);
    tokio::pin!(limit);
    let mut stop_by: Option<Instant> = None;
    loop {
        let now = *lease.borrow_and_update();
        // The lease has expired, so another process may run the job: the handler must not continue.
        if now.is_over() {
            return Ending::Answered(Err(Fault::Lost));
        }
        if now.to_stop {
            cancelled.cancel();
            stop_by.get_or_insert_with(|| Instant::now() + jobs.inner.settings.grace);
        }
        if stop_by.is_some_and(|stop_by| stop_by <= Instant::now()) {
            return Ending::Answered(Err(Fault::Cancelled));
        }
        let wake_at = stop_by.map_or(now.until, |stop_by| stop_by.min(now.until));
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return Ending::Released,
            answer = &mut handler => return Ending::Answered(answer.unwrap_or_else(|_| {
                Err(Fault::failed("handler_panicked", "the handler panicked; the process's log says where"))
            })),
            () = &mut limit => {
                let reason = format!("it did not finish within {} s", kind.time_limit.as_secs());
                return Ending::Answered(Err(Fault::failed("timed_out", reason)));
            }
            // The sender can't be dropped before the lease's guard, so this does not fail.
            _ = lease.changed() => {}
            () = tokio::time::sleep_until(wake_at) => {}
        }
    }
}

/// Writes the outcome, and retries until the lease must have expired. Returns the outcome for metrics.
async fn write(jobs: &Jobs, claimed: &Claimed, ending: Ending) -> String {
    let inner = &*jobs.inner;
    let begun = Instant::now();
    loop {
        match settle(&inner.work, &inner.settings, claimed, ending.clone(), inner.clock.now()).await {
            Ok(state) => return state.unwrap_or_else(|| "lost".to_owned()),
            Err(error) if begun.elapsed() >= inner.settings.lease => {
                tracing::warn!(%error, job = %claimed.id, "how a job ended could not be written; it will be done again");
                return "lost".to_owned();
            }
            Err(error) => tracing::debug!(%error, job = %claimed.id, "how a job ended could not be written yet"),
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}
