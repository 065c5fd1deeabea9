//! One attempt: the handler, its lease, its limits.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::claim::Claimed;
use crate::settle::{Ending, settle};
use crate::{Fault, Jobs, Kind, Work};

/// How long to wait before an ending is written again that could not be.
const AGAIN: Duration = Duration::from_millis(200);

/// Runs the attempt and writes how it ended.
pub(crate) async fn run(jobs: Jobs, kind: Kind, claimed: Claimed, shutdown: CancellationToken) {
    let inner = &*jobs.inner;
    let begun = Instant::now();
    let place = inner.place();
    metrics::histogram!("inopsio_job_lateness_seconds", "service" => inner.service.name(), "kind" => kind.name)
        .record(claimed.late.as_secs_f64());
    let ending = attempt(&jobs, &kind, &claimed, &shutdown).await;
    let outcome = write(&jobs, &claimed, ending).await;
    metrics::counter!(
        "inopsio_job_attempts_total", "service" => inner.service.name(), "kind" => kind.name, "outcome" => outcome
    )
    .increment(1);
    metrics::histogram!("inopsio_job_seconds", "service" => inner.service.name(), "kind" => kind.name)
        .record(begun.elapsed().as_secs_f64());
    drop(place);
    // Its tenant has room for one more.
    jobs.wake().await;
}

/// Until the handler answers, or has no right to go on.
async fn attempt(jobs: &Jobs, kind: &Kind, claimed: &Claimed, shutdown: &CancellationToken) -> Ending {
    let inner = &*jobs.inner;
    let settings = &inner.settings;
    let cancelled = CancellationToken::new();
    let begun = Instant::now();
    let work = Work { jobs: jobs.clone(), claimed: claimed.clone(), cancelled: cancelled.clone(), begun };
    let mut handler = AssertUnwindSafe((kind.handler)(work)).catch_unwind().boxed();
    let limit = tokio::time::sleep(kind.time_limit);
    tokio::pin!(limit);
    let mut renewed = Instant::now();
    let mut stop_by: Option<Instant> = None;
    // One that hears from now on, also while a lease is being renewed: who is told then looks again at once.
    let stop = inner.wakes.stop.notified();
    tokio::pin!(stop);
    stop.as_mut().enable();
    loop {
        let renew = renewed + settings.lease / 3;
        let patience = stop_by.map_or(renew, |stop_by| stop_by.min(renew));
        let told = tokio::select! {
            biased;
            () = shutdown.cancelled() => return Ending::Released,
            answer = &mut handler => return Ending::Answered(answer.unwrap_or_else(|_| {
                Err(Fault::failed("handler_panicked", "the handler panicked; the process's log says where"))
            })),
            () = &mut limit => {
                let reason = format!("it was not done within {} s", kind.time_limit.as_secs());
                return Ending::Answered(Err(Fault::failed("timed_out", reason)));
            }
            () = &mut stop => {
                stop.set(inner.wakes.stop.notified());
                stop.as_mut().enable();
                true
            }
            () = tokio::time::sleep_until(patience) => false,
        };
        if stop_by.is_some_and(|stop_by| stop_by <= Instant::now()) {
            return Ending::Answered(Err(Fault::Cancelled));
        }
        if !told && Instant::now() < renew {
            continue;
        }
        match beat(jobs, claimed).await {
            Ok(Some(true)) => {
                cancelled.cancel();
                stop_by.get_or_insert_with(|| Instant::now() + settings.grace);
            }
            Ok(Some(false)) => {}
            Ok(None) => return Ending::Answered(Err(Fault::Lost)),
            Err(error) => {
                tracing::debug!(%error, job = %claimed.id, "a lease could not be renewed");
                // Nobody knows any more whose it is: the handler must not go on beside another one.
                if renewed.elapsed() >= settings.lease {
                    return Ending::Answered(Err(Fault::Lost));
                }
                tokio::time::sleep(AGAIN.min(settings.lease / 10)).await;
                continue;
            }
        }
        renewed = Instant::now();
    }
}

/// Renews the lease; whether the job is to stop; none: it is somebody else's.
async fn beat(jobs: &Jobs, claimed: &Claimed) -> Result<Option<bool>, sqlx::Error> {
    sqlx::query_scalar(
        "UPDATE jobs.jobs SET leased_until = clock_timestamp() + $4 WHERE tenant_id = $1 AND job_id = $2 AND lease = $3
         RETURNING cancel_requested_at IS NOT NULL",
    )
    .bind(claimed.tenant.uuid())
    .bind(claimed.id)
    .bind(claimed.lease)
    .bind(jobs.inner.settings.lease)
    .fetch_optional(&jobs.inner.work)
    .await
}

/// Writes the ending while the job can still be ours; the outcome, for metrics.
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
        tokio::time::sleep(AGAIN).await;
    }
}
