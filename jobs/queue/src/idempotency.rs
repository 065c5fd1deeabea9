//! Idempotency of requests: a request with an id that was used before returns its first answer.

use kernel::{Refusal, TenantId};
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use crate::jobs::{Request, unavailable};

/// Records the request's id for `job`. If it was recorded before, returns the first request's job. A concurrent request with the same id
/// waits here.
pub(crate) async fn record(
    tables: &mut PgConnection,
    tenant: TenantId,
    request: &Request,
    job: Uuid,
) -> Result<Option<Uuid>, Refusal> {
    let Some(id) = &request.command_id else { return Ok(None) };
    let taken = sqlx::query(
        "INSERT INTO jobs.commands (tenant_id, command_id, request_hash, job_id, recorded_at)
         VALUES ($1, $2, $3, $4, clock_timestamp()) ON CONFLICT DO NOTHING",
    )
    .bind(tenant.uuid())
    .bind(id)
    .bind(&request.request_hash[..])
    .bind(job)
    .execute(&mut *tables)
    .await
    .map_err(unavailable)?;
    if taken.rows_affected() == 1 {
        return Ok(None);
    }
    let first = sqlx::query("SELECT request_hash, job_id FROM jobs.commands WHERE tenant_id = $1 AND command_id = $2")
        .bind(tenant.uuid())
        .bind(id)
        .fetch_one(&mut *tables)
        .await
        .map_err(unavailable)?;
    let hash: Vec<u8> = first.try_get("request_hash").map_err(unavailable)?;
    if hash != request.request_hash {
        return Err(Refusal::idempotency_key_reused(id));
    }
    first.try_get("job_id").map(Some).map_err(unavailable)
}

/// Records another job for the request: the equal one that existed.
pub(crate) async fn redirect(
    tables: &mut PgConnection,
    tenant: TenantId,
    request: &Request,
    job: Uuid,
) -> Result<(), Refusal> {
    sqlx::query("UPDATE jobs.commands SET job_id = $3 WHERE tenant_id = $1 AND command_id = $2")
        .bind(tenant.uuid())
        .bind(&request.command_id)
        .bind(job)
        .execute(tables)
        .await
        .map(drop)
        .map_err(unavailable)
}
