//! Cancelling and retrying a service's jobs.

use kernel::Refusal;
use uuid::Uuid;

use crate::backup::{INPUT_NOT_IN_BACKUP, INPUT_NOT_IN_BACKUP_REASON};
use crate::forgetting::{INPUT_FORGOTTEN, INPUT_FORGOTTEN_REASON};
use crate::jobs::{Opened, unavailable};
use crate::{Job, Jobs, Kind, Request, State, Submitted};

impl Jobs {
    /// Cancels a job. A waiting job is cancelled at once. A running one is asked to stop, and stays `running` until it has stopped.
    ///
    /// # Errors
    /// A permission is missing (to change jobs, or the one that [guards](Kind::guarded) it); `not_found`; `job_over`; `job_stopping`. Nothing
    /// was written then.
    pub async fn cancel(&self, request: &Request, id: Uuid) -> Result<Submitted, Refusal> {
        let changed = self.act(request, id, JobAction::Cancel).await?;
        self.wake_cancelled().await;
        Ok(changed)
    }

    /// Runs a discarded or cancelled job again, at once, with all its attempts, from its last checkpoint.
    ///
    /// # Errors
    /// A permission is missing (to change jobs, or the one that submitting it needs); `not_found`; `job_not_retryable`;
    /// `job_input_forgotten`; `job_input_not_in_backup`; `job_open` (another job with its unique key is open). Nothing was written then.
    pub async fn retry(&self, request: &Request, id: Uuid) -> Result<Submitted, Refusal> {
        let changed = self.act(request, id, JobAction::Retry).await?;
        self.wake().await;
        Ok(changed)
    }

    /// Tells all runners that a running job may have been cancelled, and that a job may be due (the one that follows a cancelled batch).
    pub(crate) async fn wake_cancelled(&self) {
        self.inner.wakes.stop(self.inner.bus.as_ref(), self.inner.service).await;
        self.wake().await;
    }

    async fn act(&self, request: &Request, id: Uuid, action: JobAction) -> Result<Submitted, Refusal> {
        request.caller.require(self.inner.kinds.write)?;
        let (tenant, now) = (request.caller.tenant(), self.inner.clock.now());
        let mut transaction = match self.open_request(request, id).await? {
            Opened::New(transaction) => transaction,
            Opened::Repeated(first) => return Ok(first),
        };
        let job = self.row(&mut transaction, tenant, id).await?;
        if let Some(permission) = self.inner.kinds.find(&job.kind).and_then(|kind| action.needs(kind)) {
            request.caller.require(permission)?;
        }
        let done = sqlx::query(action.statement())
            .bind(tenant.uuid())
            .bind(id)
            .bind(now)
            .bind(format!("{} by {}", action.done(), request.caller.subject()))
            .execute(&mut *transaction)
            .await;
        let done = match done {
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
                return Err(Refusal::conflict(
                    "job_open",
                    "another open job of this kind is the same; cancel that one first",
                ));
            }
            done => done.map_err(unavailable)?,
        };
        if done.rows_affected() == 0 {
            let job = self.row(&mut transaction, tenant, id).await?;
            return Err(action.refused(&job));
        }
        transaction.commit().await.map_err(unavailable)?;
        Ok(Submitted { id, repeated: false })
    }
}

/// Cancels the open jobs of a tenant (`$1`) that meet a condition on `$2`: waiting ones at once, while running ones are asked to stop. Each
/// gets a log line (`$4`) at a time (`$3`).
macro_rules! cancel {
    ($condition:literal) => {
        concat!(
            "WITH j AS (
                 UPDATE jobs.jobs
                 SET cancel_requested_at = $3, log_lines = log_lines + 1,
                     state = CASE state WHEN 'waiting' THEN 'cancelled' ELSE state END,
                     finished_at = CASE state WHEN 'waiting' THEN clock_timestamp() END
                 WHERE tenant_id = $1 AND ",
            $condition,
            " AND cancel_requested_at IS NULL AND state IN ('waiting', 'running')
                 RETURNING job_id, log_lines, attempt)
             INSERT INTO jobs.lines (tenant_id, job_id, line, at, attempt, message)
             SELECT $1, job_id, log_lines, $3, attempt, $4 FROM j"
        )
    };
}

/// Cancels the jobs of a batch, `$2`.
pub(crate) const CANCEL_BATCH: &str = cancel!("batch_id = $2");

/// An operator's action on a job.
#[derive(Clone, Copy)]
enum JobAction {
    Cancel,
    Retry,
}

impl JobAction {
    /// The statement that changes the job and adds a log line. `$1` tenant, `$2` job, `$3` time, `$4` line.
    const fn statement(self) -> &'static str {
        match self {
            Self::Cancel => cancel!("job_id = $2"),
            Self::Retry => {
                "WITH j AS (
                     UPDATE jobs.jobs
                     SET cancel_requested_at = NULL, log_lines = log_lines + 1, state = 'waiting', finished_at = NULL,
                         run_at = clock_timestamp(), attempt = 0, code = NULL, reason = NULL
                     WHERE tenant_id = $1 AND job_id = $2 AND state IN ('discarded', 'cancelled') AND NOT input_forgotten
                     RETURNING log_lines, attempt)
                 INSERT INTO jobs.lines (tenant_id, job_id, line, at, attempt, message)
                 SELECT $1, $2, log_lines, $3, attempt, $4 FROM j"
            }
        }
    }

    /// The permission that it needs besides that to change jobs.
    fn needs(self, kind: &Kind) -> Option<&'static str> {
        match self {
            Self::Cancel => kind.to_cancel(),
            Self::Retry => kind.to_retry(),
        }
    }

    const fn done(self) -> &'static str {
        match self {
            Self::Cancel => "cancelled",
            Self::Retry => "retried",
        }
    }

    fn refused(self, job: &Job) -> Refusal {
        let found = job.state.as_str();
        let refusal = match (self, job.state) {
            (Self::Cancel, State::Running) => Refusal::conflict("job_stopping", "the job is already being cancelled"),
            (Self::Cancel, _) => {
                Refusal::conflict("job_over", format!("the job is {found}; there is nothing to cancel"))
            }
            (Self::Retry, State::Discarded) if job.code.as_deref() == Some(INPUT_NOT_IN_BACKUP) => {
                Refusal::conflict(INPUT_NOT_IN_BACKUP, INPUT_NOT_IN_BACKUP_REASON)
            }
            (Self::Retry, State::Discarded | State::Cancelled) => {
                Refusal::conflict(INPUT_FORGOTTEN, INPUT_FORGOTTEN_REASON)
            }
            (Self::Retry, _) => Refusal::conflict(
                "job_not_retryable",
                format!("the job is {found}; only discarded and cancelled jobs can be retried"),
            ),
        };
        refusal.with("state", found)
    }
}
