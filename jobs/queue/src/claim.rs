//! Whose turn it is: one job of the tenant that was served longest ago, and what nobody works at any more.

use std::time::Duration;

use chrono::{DateTime, Utc};
use kernel::TenantId;
use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::{PgPool, Row};
use uuid::Uuid;

/// A job that is ours for as long as its lease is.
#[derive(Clone, Debug)]
pub(crate) struct Claimed {
    pub(crate) tenant: TenantId,
    pub(crate) id: Uuid,
    pub(crate) lease: Uuid,
    pub(crate) kind: String,
    pub(crate) arguments: Value,
    pub(crate) actor: String,
    pub(crate) attempt: u32,
    pub(crate) max_attempts: u32,
    pub(crate) checkpoint: Option<Value>,
    pub(crate) created_at: DateTime<Utc>,
    /// When it was due.
    pub(crate) run_at: DateTime<Utc>,
}

/// What a claim goes by.
pub(crate) struct Claim<'a> {
    pub(crate) kinds: &'a [&'static str],
    pub(crate) per_tenant: u32,
    pub(crate) lease: Uuid,
    pub(crate) length: Duration,
    pub(crate) now: DateTime<Utc>,
}

/// The tenants that wait, by skipping from one to the next in the index (10,000 jobs of one are one step); of those that have
/// something due and room, the one with the lowest turn.
const TURN: &str = "
    WITH RECURSIVE waiting (tenant_id) AS (
        (SELECT tenant_id FROM jobs.jobs WHERE state = 'waiting' ORDER BY tenant_id LIMIT 1)
        UNION ALL
        SELECT (SELECT j.tenant_id FROM jobs.jobs j
                WHERE j.state = 'waiting' AND j.tenant_id > w.tenant_id ORDER BY j.tenant_id LIMIT 1)
        FROM waiting w WHERE w.tenant_id IS NOT NULL
    )
    SELECT t.tenant_id FROM waiting w JOIN jobs.turns t USING (tenant_id)
    WHERE EXISTS (SELECT 1 FROM jobs.jobs j
                  WHERE j.tenant_id = w.tenant_id AND j.state = 'waiting' AND j.run_at <= $1 AND j.kind = ANY($2))
      AND (SELECT count(*) FROM jobs.jobs r WHERE r.tenant_id = w.tenant_id AND r.state = 'running') < $3
    ORDER BY t.turn LIMIT 1";

/// Only now, under the lock, what runs is counted for sure.
const TAKE: &str = "
    UPDATE jobs.jobs
    SET state = 'running', lease = $4, leased_until = clock_timestamp() + $5, attempt = attempt + 1, started_at = $2
    WHERE (tenant_id, job_id) = (
        SELECT tenant_id, job_id FROM jobs.jobs
        WHERE tenant_id = $1 AND state = 'waiting' AND run_at <= $2 AND kind = ANY($3)
        ORDER BY run_at, job_id LIMIT 1 FOR UPDATE SKIP LOCKED)
      AND (SELECT count(*) FROM jobs.jobs WHERE tenant_id = $1 AND state = 'running') < $6
    RETURNING tenant_id, job_id, lease, kind, arguments, actor, attempt, max_attempts, checkpoint, created_at, run_at";

/// Takes one job, if there is one to take.
pub(crate) async fn claim(pool: &PgPool, claim: &Claim<'_>) -> Result<Option<Claimed>, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    // Its row is the lock: two claims never look at the same tenant.
    let turn: Option<Uuid> = sqlx::query_scalar(&format!("{TURN} FOR UPDATE OF t SKIP LOCKED"))
        .bind(claim.now)
        .bind(claim.kinds)
        .bind(i64::from(claim.per_tenant))
        .fetch_optional(&mut *transaction)
        .await?;
    let Some(tenant) = turn else { return Ok(None) };
    sqlx::query("UPDATE jobs.turns SET turn = nextval('jobs.turn') WHERE tenant_id = $1")
        .bind(tenant)
        .execute(&mut *transaction)
        .await?;
    let row = sqlx::query(TAKE)
        .bind(tenant)
        .bind(claim.now)
        .bind(claim.kinds)
        .bind(claim.lease)
        .bind(claim.length)
        .bind(i64::from(claim.per_tenant))
        .fetch_optional(&mut *transaction)
        .await?;
    let claimed = row.as_ref().map(read).transpose()?;
    transaction.commit().await?;
    Ok(claimed)
}

/// Whether there is one to take: a claim that found none may have been in another one's way.
pub(crate) async fn is_left(pool: &PgPool, claim: &Claim<'_>) -> Result<bool, sqlx::Error> {
    let turn: Option<Uuid> = sqlx::query_scalar(TURN)
        .bind(claim.now)
        .bind(claim.kinds)
        .bind(i64::from(claim.per_tenant))
        .fetch_optional(pool)
        .await?;
    Ok(turn.is_some())
}

/// Gives back what is left of workers that show no sign of life: to be done again at once, unless its attempts are used up or
/// somebody cancelled it. How many that were.
pub(crate) async fn rescue(pool: &PgPool, now: DateTime<Utc>) -> Result<u64, sqlx::Error> {
    let done = sqlx::query(
        "WITH lost AS (
             SELECT tenant_id, job_id FROM jobs.jobs
             WHERE state = 'running' AND leased_until <= clock_timestamp() FOR UPDATE SKIP LOCKED),
         j AS (
             UPDATE jobs.jobs
             SET state = CASE WHEN cancel_requested_at IS NOT NULL THEN 'cancelled'
                              WHEN attempt >= max_attempts THEN 'discarded' ELSE 'waiting' END,
                 finished_at = CASE WHEN cancel_requested_at IS NOT NULL OR attempt >= max_attempts THEN $1 END,
                 run_at = $1, lease = NULL, leased_until = NULL, log_lines = log_lines + 1,
                 code = 'worker_lost', reason = $2
             FROM lost WHERE jobs.tenant_id = lost.tenant_id AND jobs.job_id = lost.job_id
             RETURNING jobs.tenant_id, jobs.job_id, log_lines, attempt)
         INSERT INTO jobs.lines (tenant_id, job_id, line, at, attempt, message)
         SELECT tenant_id, job_id, log_lines, $1, attempt, $2 FROM j",
    )
    .bind(now)
    .bind("whoever worked at it shows no sign of life")
    .execute(pool)
    .await?;
    Ok(done.rows_affected())
}

/// In how long something will be due, or a lease will have ended; none: nothing is on its way. What is due already and waits for
/// room is woken by whoever makes room.
pub(crate) async fn next(pool: &PgPool, now: DateTime<Utc>) -> Result<Option<Duration>, sqlx::Error> {
    let (due, lease): (Option<DateTime<Utc>>, Option<f64>) = sqlx::query_as(
        "SELECT (SELECT min(run_at) FROM jobs.jobs WHERE state = 'waiting' AND run_at > $1),
                (SELECT extract(epoch FROM min(leased_until) - clock_timestamp())::float8 FROM jobs.jobs WHERE state = 'running')",
    )
    .bind(now)
    .fetch_one(pool)
    .await?;
    let due = due.map(|due| (due - now).to_std().unwrap_or_default());
    // A lease that has ended and is still there is being settled by somebody: soon, not at once.
    let lease = lease.map(|seconds| Duration::from_secs_f64(seconds.clamp(0.05, 3600.0)));
    Ok(due.into_iter().chain(lease).min())
}

#[expect(clippy::disallowed_methods, reason = "the tenant of a job that an authenticated caller asked for")]
fn read(row: &PgRow) -> Result<Claimed, sqlx::Error> {
    Ok(Claimed {
        tenant: TenantId::vouched(row.try_get("tenant_id")?),
        id: row.try_get("job_id")?,
        lease: row.try_get("lease")?,
        kind: row.try_get("kind")?,
        arguments: row.try_get("arguments")?,
        actor: row.try_get("actor")?,
        attempt: row.try_get::<i32, _>("attempt")?.cast_unsigned(),
        max_attempts: row.try_get::<i32, _>("max_attempts")?.cast_unsigned(),
        checkpoint: row.try_get("checkpoint")?,
        created_at: row.try_get("created_at")?,
        run_at: row.try_get("run_at")?,
    })
}
