//! Whose turn it is: one job of each of the tenants that were served longest ago, and what nobody works at any more.

use std::collections::HashSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use kernel::{IdSource, TenantId};
use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgPool, Row};
use tokio::time::Instant;
use uuid::Uuid;

use crate::row::from_row;

/// A job that is ours for as long as its lease is.
#[derive(Clone, Debug)]
pub(crate) struct Claimed {
    pub(crate) tenant: TenantId,
    pub(crate) id: Uuid,
    pub(crate) lease: Uuid,
    /// Until then nobody else can have it, by this process's clock.
    pub(crate) until: Instant,
    pub(crate) kind: String,
    pub(crate) arguments: Value,
    pub(crate) actor: String,
    pub(crate) attempt: u32,
    pub(crate) max_attempts: u32,
    pub(crate) checkpoint: Option<Value>,
    /// How many parts of a file it works on.
    pub(crate) inputs: i32,
    pub(crate) created_at: DateTime<Utc>,
    /// How long after it was due it was claimed.
    pub(crate) late: Duration,
}

/// What a claim goes by.
pub(crate) struct Claim<'a> {
    pub(crate) kinds: &'a [&'static str],
    pub(crate) per_tenant: u32,
    pub(crate) length: Duration,
}

/// What has room: what a tenant may begin in a queue, by its own limits (`o`) and by those of all tenants together (`g`), where
/// there are any.
const ROOM: &str = "
          (o.queue IS NULL OR o.paused_at IS NULL
            AND (o.ready_at IS NULL OR o.ready_at <= clock_timestamp())
            AND (o.concurrency IS NULL
                 OR (SELECT count(*) FROM jobs.jobs r
                     WHERE r.tenant_id = w.tenant_id AND r.queue = w.queue AND r.state = 'running') < o.concurrency))
      AND (g.queue IS NULL OR g.paused_at IS NULL
            AND (g.ready_at IS NULL OR g.ready_at <= clock_timestamp())
            AND (g.concurrency IS NULL
                 OR (SELECT count(*) FROM jobs.jobs r WHERE r.queue = w.queue AND r.state = 'running') < g.concurrency))";

/// Limits of a tenant's queue, and of all tenants together.
const LIMITS: &str = "
    LEFT JOIN jobs.queues o ON o.tenant_id = w.tenant_id AND o.queue = w.queue
    LEFT JOIN jobs.queues g ON g.tenant_id = '00000000-0000-0000-0000-000000000000' AND g.queue = w.queue";

/// The queues in which tenants wait, by skipping from one to the next in the index (10,000 jobs in one are one step); of those that
/// have something due and room, those of the tenants with the lowest turns.
/// `of`: a further condition.
fn turn(of: &str) -> String {
    format!(
        "WITH RECURSIVE waiting (tenant_id, queue) AS (
             (SELECT tenant_id, queue FROM jobs.jobs WHERE state = 'waiting' ORDER BY tenant_id, queue LIMIT 1)
             UNION ALL
             SELECT n.tenant_id, n.queue
             FROM waiting w
             CROSS JOIN LATERAL (
                 SELECT j.tenant_id, j.queue FROM jobs.jobs j
                 WHERE j.state = 'waiting' AND (j.tenant_id, j.queue) > (w.tenant_id, w.queue)
                 ORDER BY j.tenant_id, j.queue LIMIT 1) n
         )
         SELECT t.tenant_id, w.queue, o.queue IS NOT NULL OR g.queue IS NOT NULL AS limited
         FROM waiting w
         JOIN jobs.turns t USING (tenant_id)
         CROSS JOIN LATERAL (
             SELECT j.run_at FROM jobs.jobs j
             WHERE j.tenant_id = w.tenant_id AND j.queue = w.queue AND j.state = 'waiting' AND j.run_at <= statement_timestamp()
               AND j.kind = ANY($1)
             ORDER BY j.run_at LIMIT 1) d
         {LIMITS}
         WHERE (SELECT count(*) FROM jobs.jobs r WHERE r.tenant_id = w.tenant_id AND r.state = 'running') < $2
           AND {ROOM} {of}
         ORDER BY t.turn, d.run_at LIMIT $3"
    )
}

/// The first job of each of these queues, one a tenant. Only now, under the lock, what runs is counted for sure.
const TAKE: &str = "
    WITH first AS (
        SELECT f.tenant_id, f.job_id, w.lease
        FROM unnest($1::uuid[], $2::text[], $3::uuid[]) AS w (tenant_id, queue, lease)
        CROSS JOIN LATERAL (
            SELECT j.tenant_id, j.job_id FROM jobs.jobs j
            WHERE j.tenant_id = w.tenant_id AND j.queue = w.queue AND j.state = 'waiting'
              AND j.run_at <= statement_timestamp() AND j.kind = ANY($4)
            ORDER BY j.run_at, j.job_id LIMIT 1 FOR UPDATE SKIP LOCKED) f
        WHERE (SELECT count(*) FROM jobs.jobs r WHERE r.tenant_id = w.tenant_id AND r.state = 'running') < $5
    )
    UPDATE jobs.jobs j
    SET state = 'running', lease = first.lease, leased_until = clock_timestamp() + $6, attempt = attempt + 1,
        started_at = statement_timestamp()
    FROM first
    WHERE j.tenant_id = first.tenant_id AND j.job_id = first.job_id
    RETURNING j.tenant_id, j.job_id, j.lease, j.kind, j.arguments, j.actor, j.attempt, j.max_attempts, j.checkpoint, j.inputs,
        j.created_at, extract(epoch FROM statement_timestamp() - j.run_at)::float8 AS late";

/// A tenant whose turn it is, and in which queue.
struct Turn {
    tenant_id: Uuid,
    queue: String,
    limited: bool,
}

from_row!(Turn { tenant_id, queue, limited });

/// Takes jobs, at most `most` and one of a tenant, if there are any to take.
pub(crate) async fn claim(
    pool: &PgPool,
    ids: &dyn IdSource,
    claim: &Claim<'_>,
    most: usize,
) -> Result<Vec<Claimed>, sqlx::Error> {
    // Leases begin later than now, by the database's clock: it is the last to find them ended.
    let until = Instant::now() + claim.length;
    // A claim that a crash of the server undoes was never made: whoever works by it has no lease any more.
    let mut transaction = pool.begin_with("BEGIN; SET LOCAL synchronous_commit = off").await?;
    // The turns' rows are the lock: two claims never look at the same tenant.
    let mut turns: Vec<Turn> = sqlx::query_as(&format!("{} FOR UPDATE OF t SKIP LOCKED", turn("")))
        .bind(claim.kinds)
        .bind(i64::from(claim.per_tenant))
        .bind(i64::try_from(most).unwrap_or(i64::MAX))
        .fetch_all(&mut *transaction)
        .await?;
    let mut seen = HashSet::new();
    turns.retain(|turn| seen.insert(turn.tenant_id));
    let (limited, free): (Vec<_>, Vec<_>) = turns.into_iter().partition(|turn| turn.limited);
    let mut claimed = take(&mut transaction, ids, claim, &free, until).await?;
    for turn in limited {
        if !still_has_room(&mut transaction, turn.tenant_id, &turn.queue).await? {
            continue;
        }
        let taken = take(&mut transaction, ids, claim, std::slice::from_ref(&turn), until).await?;
        if !taken.is_empty() {
            count_in_rate(&mut transaction, turn.tenant_id, &turn.queue).await?;
        }
        claimed.extend(taken);
    }
    transaction.commit().await?;
    Ok(claimed)
}

/// Takes the first job of each of these queues, whose tenants have had their turn with that.
async fn take(
    transaction: &mut PgConnection,
    ids: &dyn IdSource,
    claim: &Claim<'_>,
    turns: &[Turn],
    until: Instant,
) -> Result<Vec<Claimed>, sqlx::Error> {
    if turns.is_empty() {
        return Ok(Vec::new());
    }
    let tenants: Vec<Uuid> = turns.iter().map(|turn| turn.tenant_id).collect();
    let queues: Vec<&str> = turns.iter().map(|turn| turn.queue.as_str()).collect();
    let leases: Vec<Uuid> = turns.iter().map(|_| ids.next()).collect();
    sqlx::query(
        "UPDATE jobs.turns t SET turn = o.turn
         FROM (SELECT w.tenant_id, nextval('jobs.turn') AS turn FROM unnest($1::uuid[]) AS w (tenant_id)) o
         WHERE t.tenant_id = o.tenant_id",
    )
    .bind(&tenants)
    .execute(&mut *transaction)
    .await?;
    let rows = sqlx::query(TAKE)
        .bind(&tenants)
        .bind(&queues)
        .bind(&leases)
        .bind(claim.kinds)
        .bind(i64::from(claim.per_tenant))
        .bind(claim.length)
        .fetch_all(transaction)
        .await?;
    rows.iter().map(|row| read(row, until)).collect()
}

/// The next of a limited queue begins when its rate allows.
async fn count_in_rate(transaction: &mut PgConnection, tenant: Uuid, queue: &str) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE jobs.queues SET ready_at = clock_timestamp() + make_interval(secs => rate_seconds::float8 / rate_count)
         WHERE queue = $2 AND tenant_id IN ($1, '00000000-0000-0000-0000-000000000000') AND rate_count IS NOT NULL",
    )
    .bind(tenant)
    .bind(queue)
    .execute(transaction)
    .await
    .map(drop)
}

/// Limits of all tenants together are counted by one claim at a time; the second statement sees what the one before has taken.
async fn still_has_room(transaction: &mut PgConnection, tenant: Uuid, queue: &str) -> Result<bool, sqlx::Error> {
    sqlx::query(
        "SELECT FROM jobs.queues WHERE queue = $2 AND tenant_id IN ($1, '00000000-0000-0000-0000-000000000000')
         ORDER BY tenant_id FOR UPDATE",
    )
    .bind(tenant)
    .bind(queue)
    .execute(&mut *transaction)
    .await?;
    sqlx::query_scalar(&format!("SELECT {ROOM} FROM (VALUES ($1, $2)) AS w (tenant_id, queue) {LIMITS}"))
        .bind(tenant)
        .bind(queue)
        .fetch_one(transaction)
        .await
}

/// Whether there is one to take: a claim that found none may have been in another one's way.
pub(crate) async fn is_left(pool: &PgPool, claim: &Claim<'_>) -> Result<bool, sqlx::Error> {
    let left = sqlx::query(&turn(""))
        .bind(claim.kinds)
        .bind(i64::from(claim.per_tenant))
        .bind(1_i64)
        .fetch_optional(pool)
        .await?;
    Ok(left.is_some())
}

/// Tenants of whom less runs than of this one.
const WHO_HAS_LESS: &str = "
          AND w.tenant_id <> $4
          AND (SELECT count(*) FROM jobs.jobs r WHERE r.tenant_id = w.tenant_id AND r.state = 'running')
            < (SELECT count(*) FROM jobs.jobs r WHERE r.tenant_id = $4 AND r.state = 'running')";

/// Whether others have something due and room for it, of whom less runs than of this tenant.
pub(crate) async fn others_wait(pool: &PgPool, claim: &Claim<'_>, tenant: Uuid) -> Result<bool, sqlx::Error> {
    let waiting = sqlx::query(&turn(WHO_HAS_LESS))
        .bind(claim.kinds)
        .bind(i64::from(claim.per_tenant))
        .bind(1_i64)
        .bind(tenant)
        .fetch_optional(pool)
        .await?;
    Ok(waiting.is_some())
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
                 finished_at = CASE WHEN cancel_requested_at IS NOT NULL OR attempt >= max_attempts THEN clock_timestamp() END,
                 run_at = clock_timestamp(), lease = NULL, leased_until = NULL, log_lines = log_lines + 1,
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

/// In how long something will be due (a job, a schedule, a queue's rate), or a lease will have ended; none: nothing is on its way. What
/// fell due in the last `since` was not seen yet; what was due before and waits for room is woken by whoever makes room.
pub(crate) async fn next(pool: &PgPool, since: Duration) -> Result<Option<Duration>, sqlx::Error> {
    let (due, lease): (Option<f64>, Option<f64>) = sqlx::query_as(
        "SELECT extract(epoch FROM least(
                    (SELECT min(run_at) FROM jobs.jobs
                     WHERE state = 'waiting' AND run_at > statement_timestamp() - make_interval(secs => $1)),
                    (SELECT min(next_at) FROM jobs.schedules WHERE next_at > statement_timestamp() - make_interval(secs => $1)),
                    -- Few rows: those of queues that are limited.
                    (SELECT min(ready_at) FROM jobs.queues WHERE ready_at > statement_timestamp() - make_interval(secs => $1))
                ) - clock_timestamp())::float8,
                (SELECT extract(epoch FROM min(leased_until) - clock_timestamp())::float8 FROM jobs.jobs WHERE state = 'running')",
    )
    .bind(since.as_secs_f64())
    .fetch_one(pool)
    .await?;
    let due = due.map(|seconds| Duration::from_secs_f64(seconds.clamp(0.0, 3600.0)));
    // A lease that has ended and is still there is being settled by somebody: soon, not at once.
    let lease = lease.map(|seconds| Duration::from_secs_f64(seconds.clamp(0.05, 3600.0)));
    Ok(due.into_iter().chain(lease).min())
}

#[expect(clippy::disallowed_methods, reason = "the tenant of a job that an authenticated caller asked for")]
fn read(row: &PgRow, until: Instant) -> Result<Claimed, sqlx::Error> {
    Ok(Claimed {
        tenant: TenantId::vouched(row.try_get("tenant_id")?),
        id: row.try_get("job_id")?,
        lease: row.try_get("lease")?,
        until,
        kind: row.try_get("kind")?,
        arguments: row.try_get("arguments")?,
        actor: row.try_get("actor")?,
        attempt: row.try_get::<i32, _>("attempt")?.cast_unsigned(),
        max_attempts: row.try_get::<i32, _>("max_attempts")?.cast_unsigned(),
        checkpoint: row.try_get("checkpoint")?,
        inputs: row.try_get("inputs")?,
        created_at: row.try_get("created_at")?,
        late: Duration::from_secs_f64(row.try_get::<f64, _>("late")?.max(0.0)),
    })
}
