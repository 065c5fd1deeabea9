//! Asking for a job.

use chrono::{DateTime, Utc};
use eventstore::AskedJob;
use kernel::TenantId;
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::unique::Once;
use crate::{Kind, Unique};

/// A job that is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct NewJob {
    /// What it is to work with.
    pub arguments: Value,
    /// In whose name.
    pub actor: String,
    /// Not before then; none: at once.
    pub run_at: Option<DateTime<Utc>>,
    /// Which requests are for the same job; none: each is for its own.
    pub unique: Option<Unique>,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enqueued {
    /// The job: the new one, or the one that was there.
    pub id: Uuid,
    /// It is new.
    pub made: bool,
}

/// A job on its way into the table.
pub(crate) struct Entry<'a> {
    pub(crate) id: Uuid,
    pub(crate) kind: &'a Kind,
    pub(crate) job: &'a NewJob,
    pub(crate) once: Once,
    pub(crate) batch: Option<Uuid>,
    /// How many parts of a file come with it.
    pub(crate) inputs: i32,
}

impl<'a> Entry<'a> {
    pub(crate) fn new(id: Uuid, kind: &'a Kind, job: &'a NewJob, now: DateTime<Utc>) -> Self {
        Self { id, kind, job, once: Once::of(kind.name, kind.queue, job, now), batch: None, inputs: 0 }
    }
}

/// Asks for a job within the caller's transaction, in which `app.tenant_id` is set: it is there when that commits, and not if
/// it does not. Runners hear of it from [`Jobs::wake`](crate::Jobs::wake), to be called after the commit, or look by themselves.
pub async fn enqueue(
    tables: &mut PgConnection,
    tenant: TenantId,
    kind: &Kind,
    job: &NewJob,
    id: Uuid,
    now: DateTime<Utc>,
) -> Result<Enqueued, sqlx::Error> {
    enter(tables, tenant, &Entry::new(id, kind, job, now)).await
}

impl Kind {
    /// A job as an append takes it (`executor::Work::enqueue`, `EventStore::append_with`): asked for in its transaction. When it is the
    /// same as one that is there, none is made.
    pub fn asked(&self, job: &NewJob, id: Uuid, now: DateTime<Utc>) -> AskedJob {
        let once = Once::of(self.name, self.queue, job, now);
        AskedJob {
            id,
            kind: self.name.to_owned(),
            queue: self.queue.to_owned(),
            unique_key: once.open_key().map(str::to_owned),
            period_key: once.period_key().map(str::to_owned),
            arguments: job.arguments.to_string(),
            actor: job.actor.clone(),
            run_at: job.run_at,
            max_attempts: self.attempts,
        }
    }
}

/// So often a job that is not there any more may have been in the way.
const TRIES: usize = 8;

/// See [`enqueue`].
pub(crate) async fn enter(
    tables: &mut PgConnection,
    tenant: TenantId,
    entry: &Entry<'_>,
) -> Result<Enqueued, sqlx::Error> {
    sqlx::query("INSERT INTO jobs.turns (tenant_id) VALUES ($1) ON CONFLICT DO NOTHING")
        .bind(tenant.uuid())
        .execute(&mut *tables)
        .await?;
    let Entry { id, kind, job, once, batch, inputs } = entry;
    let (schedule, slot) = once.slot().unzip();
    for _ in 0..TRIES {
        let made = sqlx::query(&format!(
            "INSERT INTO jobs.jobs (tenant_id, job_id, kind, queue, unique_key, period_key, batch_id, schedule_id, slot, inputs,
                 arguments, actor, state, run_at, max_attempts, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 'waiting', coalesce($13, clock_timestamp()), $14, clock_timestamp()) {}",
            once.conflict()
        ))
        .bind(tenant.uuid())
        .bind(id)
        .bind(kind.name)
        .bind(kind.queue)
        .bind(once.open_key())
        .bind(once.period_key())
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
        // None: it ended, or was given up, in between, and then there is room.
        if let Some(id) = there(tables, tenant, once).await? {
            return Ok(Enqueued { id, made: false });
        }
    }
    // Nobody is in the way: the tenant is at its end, and is passed over (who asks in its name is refused).
    Ok(Enqueued { id: *id, made: false })
}

/// The job that is in the way of another one.
async fn there(tables: &mut PgConnection, tenant: TenantId, once: &Once) -> Result<Option<Uuid>, sqlx::Error> {
    let (schedule, slot) = once.slot().unzip();
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
    .bind(once.open_key())
    .bind(once.period_key())
    .bind(schedule)
    .bind(slot)
    .fetch_optional(tables)
    .await
}
