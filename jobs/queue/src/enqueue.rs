//! Asking for a job.

use chrono::{DateTime, Utc};
use kernel::TenantId;
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::Kind;

/// A job that is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct NewJob {
    /// What it is to work with.
    pub arguments: Value,
    /// In whose name.
    pub actor: String,
    /// Not before then; none: at once.
    pub run_at: Option<DateTime<Utc>>,
    /// While one of this kind and key is open there is no second.
    pub unique_key: Option<String>,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enqueued {
    /// The job: the new one, or the open one with the same key.
    pub id: Uuid,
    /// It is new.
    pub made: bool,
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
    sqlx::query("INSERT INTO jobs.turns (tenant_id) VALUES ($1) ON CONFLICT DO NOTHING")
        .bind(tenant.uuid())
        .execute(&mut *tables)
        .await?;
    loop {
        let made = sqlx::query(
            "INSERT INTO jobs.jobs (tenant_id, job_id, kind, unique_key, arguments, actor, state, run_at, max_attempts,
                 created_at)
             VALUES ($1, $2, $3, $4, $5, $6, 'waiting', $7, $8, $9)
             ON CONFLICT (tenant_id, kind, unique_key) WHERE unique_key IS NOT NULL AND state IN ('waiting', 'running')
             DO NOTHING",
        )
        .bind(tenant.uuid())
        .bind(id)
        .bind(kind.name)
        .bind(&job.unique_key)
        .bind(&job.arguments)
        .bind(&job.actor)
        .bind(job.run_at.unwrap_or(now))
        .bind(kind.attempts.cast_signed())
        .bind(now)
        .execute(&mut *tables)
        .await?;
        if made.rows_affected() == 1 {
            return Ok(Enqueued { id, made: true });
        }
        let open: Option<Uuid> = sqlx::query_scalar(
            "SELECT job_id FROM jobs.jobs
             WHERE tenant_id = $1 AND kind = $2 AND unique_key = $3 AND state IN ('waiting', 'running')",
        )
        .bind(tenant.uuid())
        .bind(kind.name)
        .bind(&job.unique_key)
        .fetch_optional(&mut *tables)
        .await?;
        // None: it ended in between, and then there is room.
        if let Some(id) = open {
            return Ok(Enqueued { id, made: false });
        }
    }
}
