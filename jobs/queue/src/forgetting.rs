//! The removal of files that may contain data of an erased person, by a job of the tenant.

use chrono::{DateTime, Utc};
use sqlx::Row;

use crate::work::unavailable;
use crate::{Fault, Work};

/// Error code of a completed job whose output file was removed.
pub(crate) const FORGOTTEN: &str = "job_output_forgotten";
pub(crate) const FORGOTTEN_REASON: &str =
    "somebody who may be in the file has been erased since it was created, so the file was removed; create a new job";

/// Error code of a job whose input file was removed, so that it can't run any more.
pub(crate) const INPUT_FORGOTTEN: &str = "job_input_forgotten";
pub(crate) const INPUT_FORGOTTEN_REASON: &str = "somebody who may be in the job's input file has been erased, so the file was removed; send the file again without them";

impl Work {
    /// The current time by the database's clock, which is also the clock of all jobs' submission times.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn time_of_jobs(&self) -> Result<DateTime<Utc>, Fault> {
        sqlx::query_scalar("SELECT clock_timestamp()").fetch_one(&self.jobs.inner.work).await.map_err(unavailable)
    }

    /// Removes the files of the tenant's jobs of these kinds that were submitted until then, because they may contain data of an erased
    /// person: output and input files. Waiting jobs without an input file start again from the beginning. Waiting jobs with an input file
    /// are cancelled, even those that are due far in the future. Discarded and cancelled jobs with an input file can't be retried any more.
    /// Returns the number of jobs. `until` is by the database's clock.
    ///
    /// # Errors
    /// A temporary failure if one of these jobs is running, because its file is in use; the files of the others are removed nevertheless.
    /// [`Fault::Lost`] if the calling job's lease was lost; then nothing was written.
    pub async fn forget_files(&self, kinds: &[&str], until: DateTime<Utc>) -> Result<u64, Fault> {
        let inner = &*self.jobs.inner;
        let row = sqlx::query(
            // This may take long, but the lease is renewed meanwhile, so no other process takes the job.
            "WITH me AS (SELECT 1 FROM jobs.jobs WHERE tenant_id = $1 AND job_id = $9 AND lease = $10 FOR KEY SHARE),
             asked AS (
                 -- A running job may have read data that it has not written yet.
                 SELECT job_id FROM jobs.jobs
                 WHERE tenant_id = $1 AND kind = ANY ($2) AND created_at <= $3
                   AND (parts > 0 OR state = 'running' OR inputs > 0 AND state <> 'completed')
                   AND EXISTS (SELECT FROM me)),
             -- Not those that run, because their leases have to be renewed meanwhile. One that begins to run now is passed over, too.
             old AS (
                 SELECT x.job_id, x.state = 'waiting' AND x.inputs > 0 AS pointless FROM asked JOIN jobs.jobs x USING (job_id)
                 WHERE x.tenant_id = $1 AND x.state <> 'running'
                 FOR UPDATE OF x),
             p AS (DELETE FROM jobs.parts x USING old WHERE x.tenant_id = $1 AND x.job_id = old.job_id),
             i AS (DELETE FROM jobs.inputs x USING old WHERE x.tenant_id = $1 AND x.job_id = old.job_id),
             j AS (
                 UPDATE jobs.jobs x
                 SET parts = 0, inputs = 0, checkpoint = NULL,
                     progress_done = CASE WHEN x.state = 'completed' THEN x.progress_done ELSE 0 END,
                     input_forgotten = input_forgotten OR (x.inputs > 0 AND x.state <> 'completed'),
                     state = CASE WHEN old.pointless THEN 'cancelled' ELSE x.state END,
                     finished_at = CASE WHEN old.pointless THEN clock_timestamp() ELSE x.finished_at END,
                     log_lines = x.log_lines + old.pointless::integer,
                     -- The reason why a job failed or was cancelled stays.
                     code = CASE WHEN old.pointless THEN $6 WHEN x.state = 'completed' AND x.parts > 0 THEN $4 ELSE x.code END,
                     reason = CASE WHEN old.pointless THEN $7 WHEN x.state = 'completed' AND x.parts > 0 THEN $5 ELSE x.reason END
                 FROM old WHERE x.tenant_id = $1 AND x.job_id = old.job_id
                 RETURNING x.job_id, x.log_lines, x.attempt, old.pointless),
             l AS (
                 INSERT INTO jobs.lines (tenant_id, job_id, line, at, attempt, message)
                 SELECT $1, job_id, log_lines, $8, attempt, 'cancelled: ' || $7 FROM j WHERE pointless)
             SELECT (SELECT count(*) FROM j) AS removed, (SELECT count(*) FROM j WHERE pointless) AS cancelled,
                 (SELECT count(*) FROM asked) - (SELECT count(*) FROM old) AS busy, EXISTS (SELECT FROM me) AS ours",
        )
        .bind(self.tenant().uuid())
        .bind(kinds)
        .bind(until)
        .bind(FORGOTTEN)
        .bind(FORGOTTEN_REASON)
        .bind(INPUT_FORGOTTEN)
        .bind(INPUT_FORGOTTEN_REASON)
        .bind(inner.clock.now())
        .bind(self.id())
        .bind(self.claimed.lease)
        .fetch_one(&inner.work)
        .await
        .map_err(unavailable)?;
        if !row.try_get::<bool, _>("ours").map_err(unavailable)? {
            return Err(Fault::Lost);
        }
        if row.try_get::<i64, _>("cancelled").map_err(unavailable)? > 0 {
            // Another job may have waited for a batch with a cancelled job to finish.
            self.jobs.wake().await;
        }
        let busy: i64 = row.try_get("busy").map_err(unavailable)?;
        if busy > 0 {
            return Err(Fault::failed(
                "jobs_open",
                format!("{busy} jobs are using their files; these are removed afterwards"),
            ));
        }
        row.try_get::<i64, _>("removed").map(i64::cast_unsigned).map_err(unavailable)
    }
}
