//! The interface of a handler to the job that it executes.

use chrono::{DateTime, Utc};
use eventstore::SuspendedTenants;
use kernel::TenantId;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sqlx::Row;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::claim::{Claim, Claimed, others_wait};
use crate::{Fault, Jobs};

/// The maximum number of lines in a job's log; later ones are dropped.
const MOST_LINES: i32 = 1000;

/// An attempt at a job: its arguments, and ways to report progress. Cheap to clone.
#[derive(Clone)]
pub struct Work {
    pub(crate) jobs: Jobs,
    pub(crate) claimed: Claimed,
    pub(crate) suspended: SuspendedTenants,
    pub(crate) cancelled: CancellationToken,
    /// When this attempt began.
    pub(crate) begun: Instant,
}

/// A progress report. It is written atomically.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Step {
    /// The checkpoint from which the next attempt continues.
    pub checkpoint: Value,
    /// Progress: the units of work that are done.
    pub done: u64,
    /// Progress: the units of work in total, if known.
    pub total: Option<u64>,
    /// The next part of the job's output file.
    pub part: Option<Vec<u8>>,
}

impl Work {
    /// The job's tenant.
    pub fn tenant(&self) -> TenantId {
        self.claimed.tenant
    }

    /// The job's id.
    pub fn id(&self) -> Uuid {
        self.claimed.id
    }

    /// The subject that submitted it.
    pub fn actor(&self) -> &str {
        &self.claimed.actor
    }

    /// The number of this attempt, from 1.
    pub fn attempt(&self) -> u32 {
        self.claimed.attempt
    }

    /// When it was submitted, by the database's clock.
    pub fn created_at(&self) -> DateTime<Utc> {
        self.claimed.created_at
    }

    /// The job's arguments.
    ///
    /// # Errors
    /// A permanent failure if they can't be read as `T`.
    pub fn arguments<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        T::deserialize(&self.claimed.arguments).map_err(|error| Fault::permanent("arguments_unreadable", error))
    }

    /// The job's input file; empty if it has none.
    ///
    /// # Errors
    /// The database does not answer.
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

    /// The last checkpoint; `None` if there is none.
    ///
    /// # Errors
    /// A permanent failure if it can't be read as `T`.
    pub fn checkpoint<T: DeserializeOwned>(&self) -> Result<Option<T>, Fault> {
        let left = self.claimed.checkpoint.as_ref().map(T::deserialize).transpose();
        left.map_err(|error| Fault::permanent("checkpoint_unreadable", error))
    }

    /// Whether the job was asked to stop. Then return [`Fault::Cancelled`] soon.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.is_cancelled()
    }

    /// Completes when the job is asked to stop.
    pub async fn cancelled(&self) {
        self.cancelled.cancelled().await;
    }

    /// Writes a progress report, and renews the lease.
    ///
    /// # Errors
    /// [`Fault::Cancelled`] if the job was asked to stop, and [`Fault::GaveWay`] if another tenant needs its slot, or if its own is suspended.
    /// In all cases the step was written; return the fault, and the handler will be called again from this step (unless cancelled).
    /// [`Fault::Lost`] if the lease was lost; then nothing was written.
    pub async fn step(&self, step: Step) -> Result<(), Fault> {
        self.report(step).await?;
        if self.has_to_wait() || self.must_give_way().await? { Err(Fault::GaveWay) } else { Ok(()) }
    }

    /// Like [`step`](Self::step), but the job keeps its slot. For jobs that can't continue from a step: whoever gives way would do
    /// everything again, and where others always wait, never finish.
    ///
    /// # Errors
    /// [`Fault::Cancelled`] and [`Fault::Lost`], as for [`step`](Self::step).
    pub async fn report(&self, step: Step) -> Result<(), Fault> {
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
            Some(_) => Ok(()),
        }
    }

    /// Whether the tenant is suspended, and the job waits until it is not.
    fn has_to_wait(&self) -> bool {
        let kind = self.jobs.inner.kinds.find(&self.claimed.kind);
        self.suspended.contains(self.tenant()) && kind.is_none_or(|kind| !kind.even_if_suspended)
    }

    /// Whether the job has used up its time slice, while this process has no free slot and tenants with fewer running jobs wait.
    async fn must_give_way(&self) -> Result<bool, Fault> {
        let inner = &*self.jobs.inner;
        if self.begun.elapsed() < inner.settings.time_slice || !inner.is_full() {
            return Ok(false);
        }
        let claim = Claim::of(inner, &self.suspended);
        others_wait(&inner.work, &claim, self.tenant().uuid()).await.map_err(unavailable)
    }

    /// Writes a line into the job's log. It must not contain personal data, because the log is stored and shown. The first 1,000 lines are
    /// kept. Nothing is written if the lease was lost.
    ///
    /// # Errors
    /// The database does not answer.
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

pub(crate) fn unavailable(error: sqlx::Error) -> Fault {
    Fault::failed("jobs_unavailable", error)
}
