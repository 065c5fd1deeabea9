//! Batches: jobs that belong together, and what is done once when all of them are over.

use chrono::{DateTime, Utc};
use kernel::{Caller, Refusal, TenantId};
use serde::Serialize;
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::enqueue::{Entry, enter};
use crate::jobs::{CANCEL_BATCH, Opened, unavailable};
use crate::row::from_row;
use crate::{Jobs, NewJob, Request, Submitted};

/// The most jobs of a batch.
const MOST: usize = 1000;

/// A job that is asked for by name.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// Its kind: one that may be asked for by name.
    pub kind: String,
    /// What it is to work with.
    pub arguments: Value,
}

/// A batch that is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct NewBatch {
    /// Its jobs, 1 to 1,000.
    pub jobs: Vec<Wanted>,
    /// What is asked for once when all of them are over, whatever became of them.
    pub then: Option<Wanted>,
}

/// A batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Batch {
    /// Its id.
    pub id: Uuid,
    /// In whose name.
    pub actor: String,
    /// How many jobs it has.
    pub total: i32,
    /// How many of them are done.
    pub completed: i32,
    /// How many were cancelled.
    pub cancelled: i32,
    /// How many failed for good.
    pub discarded: i32,
    /// What is asked for when all of them are over; it is there from then on.
    pub then: Option<Uuid>,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// When the last of its jobs was over.
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
    /// A batch of a tenant; none: there is none with this id; for whoever may see jobs. `tables`: a transaction in which the tenant is
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
    /// Asks for a batch: all of its jobs, or none.
    ///
    /// # Errors
    /// Without the permission to change jobs, or to ask for one of the kinds; `job_kind_unknown`; `batch_size`; when arguments are
    /// refused. Nothing was written then.
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
            inner.kinds.ask(caller, &wanted.kind, &wanted.arguments, &format!("/jobs/{nth}/arguments"))
        });
        let asked = asked.collect::<Result<Vec<_>, _>>()?;
        let then = new.then.as_ref();
        let then = then
            .map(|wanted| inner.kinds.ask(caller, &wanted.kind, &wanted.arguments, "/then/arguments"))
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
            enter(&mut tables, tenant, &entry).await.map_err(unavailable)?;
        }
        tables.commit().await.map_err(unavailable)?;
        self.wake().await;
        Ok(Submitted { id, repeated: false })
    }

    /// A batch of the caller's tenant; its jobs are those of [`list`](Self::list) with its id.
    ///
    /// # Errors
    /// Without the permission to see jobs; `not_found`; when the database does not answer.
    pub async fn find_batch(&self, caller: &Caller, id: Uuid) -> Result<Batch, Refusal> {
        caller.require(self.inner.kinds.read)?;
        let mut tables = self.begin(caller.tenant()).await?;
        Batch::find(&mut tables, caller.tenant(), id).await.map_err(unavailable)?.ok_or_else(|| unknown(id))
    }

    /// Cancels all jobs of a batch that are not over: those that wait at once, those that run are asked to stop.
    ///
    /// # Errors
    /// Without the permission; `not_found`; `batch_over`: there is nothing to cancel. Nothing was written then.
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
    Refusal::not_found("not_found", format!("there is no batch {id}")).with("resource", "batch")
}
