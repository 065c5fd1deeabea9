//! What a handler works with.

use chrono::{DateTime, Utc};
use kernel::TenantId;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sqlx::Row;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::claim::{Claim, Claimed, others_wait};
use crate::{Fault, Jobs};

/// The most lines that a handler writes into a job's log; what comes after them is not kept.
const MOST_LINES: i32 = 1000;

/// Why a completed job has no file any more.
pub(crate) const FORGOTTEN: &str = "job_output_forgotten";
pub(crate) const FORGOTTEN_REASON: &str =
    "somebody who may be in the file has been erased since it was created, so the file was removed; create a new job";

/// Why a job whose file was removed is not run any more.
pub(crate) const INPUT_FORGOTTEN: &str = "job_input_forgotten";
pub(crate) const INPUT_FORGOTTEN_REASON: &str = "somebody who may be in the job's input file has been erased, so the file was removed; send the file again without them";

/// An attempt at a job: what it is about, and the way to say how far it is. Cheap to clone.
#[derive(Clone)]
pub struct Work {
    pub(crate) jobs: Jobs,
    pub(crate) claimed: Claimed,
    pub(crate) cancelled: CancellationToken,
    /// When this attempt began.
    pub(crate) begun: Instant,
}

/// How far a job is. All of it is true at once, or none of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Step {
    /// Where the next attempt would go on.
    pub checkpoint: Value,
    /// How much is done.
    pub done: u64,
    /// Of how much, where that is known.
    pub total: Option<u64>,
    /// What comes next in the job's file.
    pub part: Option<Vec<u8>>,
}

impl Work {
    /// Whose job it is.
    pub fn tenant(&self) -> TenantId {
        self.claimed.tenant
    }

    /// The job.
    pub fn id(&self) -> Uuid {
        self.claimed.id
    }

    /// In whose name it was asked for.
    pub fn actor(&self) -> &str {
        &self.claimed.actor
    }

    /// Which attempt this is, from 1.
    pub fn attempt(&self) -> u32 {
        self.claimed.attempt
    }

    /// When it was asked for, by the database's clock.
    pub fn created_at(&self) -> DateTime<Utc> {
        self.claimed.created_at
    }

    /// What it was asked for.
    ///
    /// # Errors
    /// A hopeless one when these are no such arguments.
    pub fn arguments<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        T::deserialize(&self.claimed.arguments).map_err(|error| Fault::hopeless("arguments_unreadable", error))
    }

    /// The file that it works on; empty: it works on none.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn input(&self) -> Result<Vec<u8>, Fault> {
        let mut file = Vec::new();
        for part in 1..=self.claimed.inputs {
            let bytes: Vec<u8> =
                sqlx::query_scalar("SELECT bytes FROM jobs.inputs WHERE tenant_id = $1 AND job_id = $2 AND part = $3")
                    .bind(self.tenant().uuid())
                    .bind(self.id())
                    .bind(part)
                    .fetch_one(&self.jobs.inner.work)
                    .await
                    .map_err(unavailable)?;
            file.extend(bytes);
        }
        Ok(file)
    }

    /// Where the last attempt was; none: it was nowhere.
    ///
    /// # Errors
    /// A hopeless one when it left something else.
    pub fn checkpoint<T: DeserializeOwned>(&self) -> Result<Option<T>, Fault> {
        let left = self.claimed.checkpoint.as_ref().map(T::deserialize).transpose();
        left.map_err(|error| Fault::hopeless("checkpoint_unreadable", error))
    }

    /// Whether somebody wants it to stop: then answer [`Fault::Cancelled`] soon.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.is_cancelled()
    }

    /// Ends when somebody wants it to stop.
    pub async fn cancelled(&self) {
        self.cancelled.cancelled().await;
    }

    /// Says how far it is, and renews the lease.
    ///
    /// # Errors
    /// [`Fault::Cancelled`] when it is to stop and [`Fault::GaveWay`] when others wait for its place (the step is taken all the
    /// same; answer it, and the handler is begun again from this step), [`Fault::Lost`] when the job is somebody else's
    /// (nothing is written then).
    pub async fn step(&self, step: Step) -> Result<(), Fault> {
        let inner = &*self.jobs.inner;
        let row = sqlx::query(
            "WITH j AS (
                 UPDATE jobs.jobs
                 SET checkpoint = $4, progress_done = $5, progress_total = $6, parts = parts + ($7::bytea IS NOT NULL)::integer,
                     leased_until = clock_timestamp() + $8
                 WHERE tenant_id = $1 AND job_id = $2 AND lease = $3
                 RETURNING parts, cancel_requested_at),
             p AS (
                 INSERT INTO jobs.parts (tenant_id, job_id, part, bytes)
                 SELECT $1, $2, parts, $7 FROM j WHERE $7::bytea IS NOT NULL)
             SELECT cancel_requested_at IS NOT NULL AS cancelled FROM j",
        )
        .bind(self.tenant().uuid())
        .bind(self.id())
        .bind(self.claimed.lease)
        .bind(step.checkpoint)
        .bind(step.done.cast_signed())
        .bind(step.total.map(u64::cast_signed))
        .bind(step.part)
        .bind(inner.settings.lease)
        .fetch_optional(&inner.work)
        .await
        .map_err(unavailable)?;
        match row {
            None => Err(Fault::Lost),
            Some(row) if row.try_get("cancelled").map_err(unavailable)? => {
                self.cancelled.cancel();
                Err(Fault::Cancelled)
            }
            Some(_) if self.is_in_the_way().await? => Err(Fault::GaveWay),
            Some(_) => Ok(()),
        }
    }

    /// Whether it has had its stretch, and others who have less wait while this process has no place left.
    async fn is_in_the_way(&self) -> Result<bool, Fault> {
        let inner = &*self.jobs.inner;
        if self.begun.elapsed() < inner.settings.stretch || !inner.is_full() {
            return Ok(false);
        }
        let names = inner.kinds.names();
        let claim = Claim { kinds: &names, per_tenant: inner.settings.per_tenant, length: inner.settings.lease };
        others_wait(&inner.work, &claim, self.tenant().uuid()).await.map_err(unavailable)
    }

    /// The time by the database's clock, by which jobs were asked for, wherever that was.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn time_of_jobs(&self) -> Result<DateTime<Utc>, Fault> {
        sqlx::query_scalar("SELECT clock_timestamp()").fetch_one(&self.jobs.inner.work).await.map_err(unavailable)
    }

    /// Removes the files of the tenant's jobs of these kinds, of those that were asked for until then: what they made and what they
    /// work on, which may hold what nobody is to see any more. Those that wait, and need no file, begin anew; those that wait to work
    /// on theirs are cancelled, however long they would wait; those that are over without being done, and need one, are not retried
    /// any more. How many jobs that were. `until`: by the database's clock.
    ///
    /// # Errors
    /// When one of them runs: its file can't be taken from under it. The others' are removed all the same. [`Fault::Lost`] when the
    /// job that forgets is somebody else's (nothing is written then).
    pub async fn forget_files(&self, kinds: &[&str], until: DateTime<Utc>) -> Result<u64, Fault> {
        let inner = &*self.jobs.inner;
        let row = sqlx::query(
            // However long it takes: the lease is renewed meanwhile, and nobody takes the job up.
            "WITH me AS (SELECT 1 FROM jobs.jobs WHERE tenant_id = $1 AND job_id = $9 AND lease = $10 FOR KEY SHARE),
             asked AS (
                 -- One that runs may have read what it has not written yet.
                 SELECT job_id, state = 'running' AS busy, state = 'waiting' AND inputs > 0 AS pointless FROM jobs.jobs
                 WHERE tenant_id = $1 AND kind = ANY ($2) AND created_at <= $3
                   AND (parts > 0 OR state = 'running' OR inputs > 0 AND state <> 'completed')
                   AND EXISTS (SELECT FROM me)
                 FOR UPDATE),
             old AS (SELECT job_id, pointless FROM asked WHERE NOT busy),
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
                     -- Why one failed or was cancelled is still why.
                     code = CASE WHEN old.pointless THEN $6 WHEN x.state = 'completed' AND x.parts > 0 THEN $4 ELSE x.code END,
                     reason = CASE WHEN old.pointless THEN $7 WHEN x.state = 'completed' AND x.parts > 0 THEN $5 ELSE x.reason END
                 FROM old WHERE x.tenant_id = $1 AND x.job_id = old.job_id
                 RETURNING x.job_id, x.log_lines, x.attempt, old.pointless),
             l AS (
                 INSERT INTO jobs.lines (tenant_id, job_id, line, at, attempt, message)
                 SELECT $1, job_id, log_lines, $8, attempt, 'cancelled: ' || $7 FROM j WHERE pointless)
             SELECT (SELECT count(*) FROM j) AS removed, (SELECT count(*) FROM j WHERE pointless) AS cancelled,
                 (SELECT count(*) FROM asked WHERE busy) AS busy, EXISTS (SELECT FROM me) AS ours",
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
            // Something may have waited for a batch of theirs to be over.
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

    /// Writes a line into the job's log: no personal data, as it is kept and shown. The first 1,000 are kept, and none of a job that is
    /// somebody else's by now.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn log(&self, message: &str) -> Result<(), Fault> {
        let inner = &*self.jobs.inner;
        sqlx::query(
            "WITH j AS (
                 UPDATE jobs.jobs SET log_lines = log_lines + 1
                 WHERE tenant_id = $1 AND job_id = $2 AND lease = $3 AND log_lines < $4
                 RETURNING log_lines, attempt)
             INSERT INTO jobs.lines (tenant_id, job_id, line, at, attempt, message)
             SELECT $1, $2, log_lines, $5, attempt, $6 FROM j",
        )
        .bind(self.tenant().uuid())
        .bind(self.id())
        .bind(self.claimed.lease)
        .bind(MOST_LINES)
        .bind(inner.clock.now())
        .bind(message)
        .execute(&inner.work)
        .await
        .map(drop)
        .map_err(unavailable)
    }
}

fn unavailable(error: sqlx::Error) -> Fault {
    Fault::failed("jobs_unavailable", error)
}
