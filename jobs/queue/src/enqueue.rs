//! Inserting jobs into the queue.

use chrono::{DateTime, Utc};
use eventstore::AskedJob;
use kernel::TenantId;
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::unique::Uniqueness;
use crate::{Kind, Unique};

/// A job to submit.
#[derive(Clone, Debug, PartialEq)]
pub struct NewJob {
    /// The job's arguments.
    pub arguments: Value,
    /// The subject that submits it.
    pub actor: String,
    /// The earliest time to run it; `None`: at once.
    pub run_at: Option<DateTime<Utc>>,
    /// When an equal job is not created twice; `None`: each submission creates a job.
    pub unique: Option<Unique>,
}

/// The result of submitting a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enqueued {
    /// The id of the new job, or of the equal one that exists.
    pub id: Uuid,
    /// Whether the job is new.
    pub made: bool,
}

/// A job to insert into the table.
pub(crate) struct Entry<'a> {
    pub(crate) id: Uuid,
    pub(crate) kind: &'a Kind,
    pub(crate) job: &'a NewJob,
    pub(crate) uniqueness: Uniqueness,
    pub(crate) batch: Option<Uuid>,
    /// The number of parts of its input file.
    pub(crate) inputs: i32,
}

impl<'a> Entry<'a> {
    pub(crate) fn new(id: Uuid, kind: &'a Kind, job: &'a NewJob, now: DateTime<Utc>) -> Self {
        Self { id, kind, job, uniqueness: Uniqueness::of(kind.name, kind.queue, job, now), batch: None, inputs: 0 }
    }
}

/// Submits a job within the caller's transaction, in which `app.tenant_id` must be set: the job exists if this commits. Call
/// [`Jobs::wake`](crate::Jobs::wake) after the commit; otherwise runners find the job only by polling.
pub async fn enqueue(
    tables: &mut PgConnection,
    tenant: TenantId,
    kind: &Kind,
    job: &NewJob,
    id: Uuid,
    now: DateTime<Utc>,
) -> Result<Enqueued, sqlx::Error> {
    insert(tables, tenant, &Entry::new(id, kind, job, now)).await
}

impl Kind {
    /// A job that an append submits in its own transaction (`executor::Work::enqueue`, `EventStore::append_with`). If an equal one exists,
    /// none is created.
    pub fn asked(&self, job: &NewJob, id: Uuid, now: DateTime<Utc>) -> AskedJob {
        let uniqueness = Uniqueness::of(self.name, self.queue, job, now);
        AskedJob {
            id,
            kind: self.name.to_owned(),
            queue: self.queue.to_owned(),
            unique_key: uniqueness.open_key().map(str::to_owned),
            period_key: uniqueness.period_key().map(str::to_owned),
            arguments: job.arguments.to_string(),
            actor: job.actor.clone(),
            run_at: job.run_at,
            max_attempts: self.attempts,
        }
    }
}

/// The maximum number of inserts that conflict with an equal job that has ended before it can be read.
const TRIES: usize = 8;

/// See [`enqueue`].
pub(crate) async fn insert(
    tables: &mut PgConnection,
    tenant: TenantId,
    entry: &Entry<'_>,
) -> Result<Enqueued, sqlx::Error> {
    sqlx::query("INSERT INTO jobs.turns (tenant_id) VALUES ($1) ON CONFLICT DO NOTHING")
        .bind(tenant.uuid())
        .execute(&mut *tables)
        .await?;
    let Entry { id, kind, job, uniqueness, batch, inputs } = entry;
    let (schedule, slot) = uniqueness.slot().unzip();
    for _ in 0..TRIES {
        let made = sqlx::query(&format!(
            "INSERT INTO jobs.jobs (tenant_id, job_id, kind, queue, unique_key, period_key, batch_id, schedule_id, slot, inputs,
                 arguments, actor, state, run_at, max_attempts, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 'waiting', coalesce($13, clock_timestamp()), $14, clock_timestamp()) {}",
            uniqueness.conflict()
        ))
        .bind(tenant.uuid())
        .bind(id)
        .bind(kind.name)
        .bind(kind.queue)
        .bind(uniqueness.open_key())
        .bind(uniqueness.period_key())
        .bind(batch)
        .bind(schedule)
        .bind(slot)
        .bind(inputs)
        .bind(&job.arguments)
        .bind(&job.actor)
        .bind(job.run_at)
        .bind(kind.attempts.cast_signed())
        .execute(&mut *tables)
        .await?;
        if made.rows_affected() == 1 {
            return Ok(Enqueued { id: *id, made: true });
        }
        // `None`: the equal job ended or was rolled back in between, so insert again.
        if let Some(id) = find_equal(tables, tenant, uniqueness).await? {
            return Ok(Enqueued { id, made: false });
        }
    }
    // No equal job exists, so the trigger skipped the row: the tenant is being destroyed. Requests in its name are refused elsewhere.
    Ok(Enqueued { id: *id, made: false })
}

/// The existing job that is equal to this one.
async fn find_equal(
    tables: &mut PgConnection,
    tenant: TenantId,
    uniqueness: &Uniqueness,
) -> Result<Option<Uuid>, sqlx::Error> {
    let (schedule, slot) = uniqueness.slot().unzip();
    sqlx::query_scalar(
        "SELECT job_id FROM jobs.jobs
         WHERE tenant_id = $1 AND unique_key = $2 AND state IN ('waiting', 'running')
         UNION ALL
         SELECT job_id FROM jobs.jobs
         WHERE tenant_id = $1 AND period_key = $3 AND state NOT IN ('cancelled', 'discarded')
         UNION ALL
         SELECT job_id FROM jobs.jobs
         WHERE tenant_id = $1 AND schedule_id = $4 AND slot = $5
         LIMIT 1",
    )
    .bind(tenant.uuid())
    .bind(uniqueness.open_key())
    .bind(uniqueness.period_key())
    .bind(schedule)
    .bind(slot)
    .fetch_optional(tables)
    .await
}
