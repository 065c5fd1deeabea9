//! Batches: jobs that are submitted together, and a job that follows when all of them have finished.

use chrono::{DateTime, Utc};
use kernel::{Caller, Refusal, TenantId};
use serde::Serialize;
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::acting::CANCEL_BATCH;
use crate::enqueue::{Entry, insert};
use crate::jobs::{Opened, unavailable};
use crate::row::from_row;
use crate::{Jobs, NewJob, Request, Submitted};

/// The maximum number of jobs in a batch.
const MOST: usize = 1000;

/// A job to submit by its kind's name.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// The kind; it must be one that can be submitted by name.
    pub kind: String,
    /// The job's arguments.
    pub arguments: Value,
}

/// A batch to submit.
#[derive(Clone, Debug, PartialEq)]
pub struct NewBatch {
    /// Its jobs, 1 to 1,000.
    pub jobs: Vec<Wanted>,
    /// A job that is created when all of them have finished, whether or not they succeeded.
    pub then: Option<Wanted>,
}

/// A batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Batch {
    /// The batch's id.
    pub id: Uuid,
    /// The subject that submitted it.
    pub actor: String,
    /// The number of its jobs.
    pub total: i32,
    /// The number of completed jobs.
    pub completed: i32,
    /// The number of cancelled jobs.
    pub cancelled: i32,
    /// The number of jobs that failed for good.
    pub discarded: i32,
    /// The id of the job that is created when all others have finished. It does not exist before.
    pub then: Option<Uuid>,
    /// When it was submitted.
    pub created_at: DateTime<Utc>,
    /// When the last of its jobs finished.
    pub finished_at: Option<DateTime<Utc>>,
}

from_row!(Batch {
    id = batch_id,
    actor,
    total,
    completed,
    cancelled,
    discarded,
    then = then_job,
    created_at,
    finished_at,
});

impl Batch {
    /// A tenant's batch; `None` if there is none with this id. Does not check permissions. `tables`: a transaction in which the tenant is
    /// set.
    pub async fn find(tables: &mut PgConnection, tenant: TenantId, id: Uuid) -> Result<Option<Self>, sqlx::Error> {
        sqlx::query_as(
            "SELECT batch_id, actor, total, completed, cancelled, discarded, then_job, created_at, finished_at
             FROM jobs.batches WHERE tenant_id = $1 AND batch_id = $2",
        )
        .bind(tenant.uuid())
        .bind(id)
        .fetch_optional(tables)
        .await
    }
}

impl Jobs {
    /// Submits a batch: all of its jobs, or none.
    ///
    /// # Errors
    /// The permission to change jobs, or to submit one of the kinds, is missing; `job_kind_unknown`; `batch_size`; invalid arguments.
    /// Nothing was written then.
    pub async fn submit_batch(&self, request: &Request, new: &NewBatch) -> Result<Submitted, Refusal> {
        let inner = &*self.inner;
        let caller = &request.caller;
        caller.require(inner.kinds.write)?;
        let total = new.jobs.len();
        if !(1..=MOST).contains(&total) {
            let detail = format!("there are {total} jobs; allowed are 1 to {MOST}");
            return Err(Refusal::invalid("batch_size", detail));
        }
        let asked = new.jobs.iter().enumerate().map(|(nth, wanted)| {
            inner.kinds.resolve(caller, &wanted.kind, &wanted.arguments, &format!("/jobs/{nth}/arguments"))
        });
        let asked = asked.collect::<Result<Vec<_>, _>>()?;
        let then = new.then.as_ref();
        let then = then
            .map(|wanted| inner.kinds.resolve(caller, &wanted.kind, &wanted.arguments, "/then/arguments"))
            .transpose()?;
        let (tenant, id, now) = (caller.tenant(), inner.ids.next(), inner.clock.now());
        let mut tables = match self.open_request(request, id).await? {
            Opened::New(transaction) => transaction,
            Opened::Repeated(first) => return Ok(first),
        };
        sqlx::query(
            "INSERT INTO jobs.batches (tenant_id, batch_id, actor, total, then_job, then_kind, then_queue, then_arguments,
                 then_attempts, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        )
        .bind(tenant.uuid())
        .bind(id)
        .bind(caller.subject())
        .bind(i32::try_from(total).unwrap_or(i32::MAX))
        .bind(then.as_ref().map(|_| inner.ids.next()))
        .bind(then.as_ref().map(|then| then.kind.name))
        .bind(then.as_ref().map(|then| then.kind.queue))
        .bind(then.as_ref().map(|then| &then.arguments))
        .bind(then.as_ref().map(|then| then.kind.attempts.cast_signed()))
        .bind(now)
        .execute(&mut *tables)
        .await
        .map_err(unavailable)?;
        for offered in asked {
            let job =
                NewJob { arguments: offered.arguments, actor: caller.subject().to_owned(), run_at: None, unique: None };
            let entry = Entry { batch: Some(id), ..Entry::new(inner.ids.next(), offered.kind, &job, now) };
            insert(&mut tables, tenant, &entry).await.map_err(unavailable)?;
        }
        tables.commit().await.map_err(unavailable)?;
        self.wake().await;
        Ok(Submitted { id, repeated: false })
    }

    /// A batch of the caller's tenant. Its jobs can be found by [`list`](Self::list) with its id.
    ///
    /// # Errors
    /// The permission to view jobs is missing; `not_found`; the database does not answer.
    pub async fn find_batch(&self, caller: &Caller, id: Uuid) -> Result<Batch, Refusal> {
        caller.require(self.inner.kinds.read)?;
        let mut tables = self.begin(caller.tenant()).await?;
        Batch::find(&mut tables, caller.tenant(), id).await.map_err(unavailable)?.ok_or_else(|| unknown(id))
    }

    /// Cancels all open jobs of a batch: waiting ones at once, while running ones are asked to stop.
    ///
    /// # Errors
    /// The permission is missing; `not_found`; `batch_over`. Nothing was written then.
    pub async fn cancel_batch(&self, request: &Request, id: Uuid) -> Result<Submitted, Refusal> {
        let inner = &*self.inner;
        request.caller.require(inner.kinds.write)?;
        let (tenant, now) = (request.caller.tenant(), inner.clock.now());
        let mut tables = match self.open_request(request, id).await? {
            Opened::New(transaction) => transaction,
            Opened::Repeated(first) => return Ok(first),
        };
        let batch = Batch::find(&mut tables, tenant, id).await.map_err(unavailable)?.ok_or_else(|| unknown(id))?;
        let cancelled = sqlx::query(CANCEL_BATCH)
            .bind(tenant.uuid())
            .bind(id)
            .bind(now)
            .bind(format!("its batch was cancelled by {}", request.caller.subject()))
            .execute(&mut *tables)
            .await
            .map_err(unavailable)?;
        if cancelled.rows_affected() == 0 {
            let over = batch.completed + batch.cancelled + batch.discarded;
            let detail =
                format!("{over} of {} jobs have finished, the others are already being cancelled", batch.total);
            return Err(Refusal::conflict("batch_over", detail));
        }
        tables.commit().await.map_err(unavailable)?;
        self.wake_cancelled().await;
        Ok(Submitted { id, repeated: false })
    }
}

fn unknown(id: Uuid) -> Refusal {
    Refusal::absent("batch", id)
}
