//! Claiming due jobs, fairly between tenants, and freeing jobs whose process lost its lease.

use std::collections::HashSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use eventstore::SuspendedTenants;
use kernel::{IdSource, TenantId};
use serde_json::Value;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::QueryAs;
use sqlx::{PgConnection, PgPool, Postgres, Row};
use tokio::time::Instant;
use uuid::Uuid;

use crate::jobs::Inner;
use crate::row::from_row;

/// A job that this process may execute while its lease is valid.
#[derive(Clone, Debug)]
pub(crate) struct Claimed {
    pub(crate) tenant: TenantId,
    pub(crate) id: Uuid,
    pub(crate) lease: Uuid,
    /// The end of the lease, by this process's clock. No other process can claim the job before it.
    pub(crate) until: Instant,
    pub(crate) kind: String,
    pub(crate) arguments: Value,
    pub(crate) actor: String,
    pub(crate) attempt: u32,
    pub(crate) max_attempts: u32,
    pub(crate) checkpoint: Option<Value>,
    /// The number of parts of its input file.
    pub(crate) inputs: i32,
    pub(crate) created_at: DateTime<Utc>,
    /// The time from its due time to the claim.
    pub(crate) late: Duration,
}

/// The parameters of a claim.
pub(crate) struct Claim {
    pub(crate) kinds: Vec<&'static str>,
    /// The tenants of which only jobs [of these kinds](crate::Kind::even_if_suspended) are claimed.
    pub(crate) suspended: Vec<Uuid>,
    even_if_suspended: Vec<&'static str>,
    per_tenant: u32,
    length: Duration,
}

impl Claim {
    /// What a runner of this process may claim now.
    pub(crate) fn of(inner: &Inner, suspended: &SuspendedTenants) -> Self {
        let even_if_suspended = inner.kinds.even_if_suspended();
        let (kinds, suspended) = match suspended.ids() {
            Some(suspended) => (inner.kinds.names(), suspended),
            // Anybody may be suspended.
            None => (even_if_suspended.clone(), Vec::new()),
        };
        let (per_tenant, length) = (inner.settings.per_tenant, inner.settings.lease);
        Self { kinds, suspended, even_if_suspended, per_tenant, length }
    }

    /// A statement of [`claimable`] for this claim, which selects at most `most` rows.
    fn bound<'q>(&'q self, sql: &'q str, most: i64) -> QueryAs<'q, Postgres, Turn, PgArguments> {
        sqlx::query_as(sql)
            .bind(&self.kinds)
            .bind(i64::from(self.per_tenant))
            .bind(most)
            .bind(&self.suspended)
            .bind(&self.even_if_suspended)
    }
}

/// The condition that a tenant may start a job in a queue: neither the tenant's own limits (`o`) nor those of all tenants together (`g`)
/// forbid it, if there are any.
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

/// Joins the limits of a tenant's queue, and those of all tenants together.
const LIMITS: &str = "
    LEFT JOIN jobs.queues o ON o.tenant_id = w.tenant_id AND o.queue = w.queue
    LEFT JOIN jobs.queues g ON g.tenant_id = '00000000-0000-0000-0000-000000000000' AND g.queue = w.queue";

/// Selects queues of tenants from which a job can be claimed now, those of the tenants with the lowest turn numbers first. A recursive
/// query skips from one waiting queue to the next in the index, so 10,000 jobs in one queue cost one step. Only of a suspended tenant are all
/// due jobs of a queue looked at, in the index alone, which has their kinds. `of` is a further condition.
fn claimable(of: &str) -> String {
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
               AND j.kind = ANY($1) AND (j.tenant_id <> ALL($4) OR j.kind = ANY($5))
             ORDER BY j.run_at LIMIT 1) d
         {LIMITS}
         WHERE (SELECT count(*) FROM jobs.jobs r WHERE r.tenant_id = w.tenant_id AND r.state = 'running') < $2
           AND {ROOM} {of}
         ORDER BY t.turn, d.run_at LIMIT $3"
    )
}

/// Claims the first job of each of these queues, which belong to different tenants. Counts running jobs again: under the lock the count is
/// exact.
const TAKE: &str = "
    WITH first AS (
        SELECT f.tenant_id, f.job_id, w.lease
        FROM unnest($1::uuid[], $2::text[], $3::uuid[]) AS w (tenant_id, queue, lease)
        CROSS JOIN LATERAL (
            SELECT j.tenant_id, j.job_id FROM jobs.jobs j
            WHERE j.tenant_id = w.tenant_id AND j.queue = w.queue AND j.state = 'waiting'
              AND j.run_at <= statement_timestamp() AND j.kind = ANY($4) AND (j.tenant_id <> ALL($7) OR j.kind = ANY($8))
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

/// A tenant and a queue from which a job can be claimed.
struct Turn {
    tenant_id: Uuid,
    queue: String,
    limited: bool,
}

from_row!(Turn { tenant_id, queue, limited });

/// Claims jobs: at most `most`, and at most one per tenant.
pub(crate) async fn claim(
    pool: &PgPool,
    ids: &dyn IdSource,
    claim: &Claim,
    most: usize,
) -> Result<Vec<Claimed>, sqlx::Error> {
    // The leases begin later than now by the database's clock, so they end later there than `until`.
    let until = Instant::now() + claim.length;
    // Without synchronous commit, a crash of the server may undo the claim. Then the lease does not exist, so the handler can't write.
    let mut transaction = pool.begin_with("BEGIN; SET LOCAL synchronous_commit = off").await?;
    // The locks on the rows of `jobs.turns` ensure that two concurrent claims never consider the same tenant.
    let sql = format!("{} FOR UPDATE OF t SKIP LOCKED", claimable(""));
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let mut turns = claim.bound(&sql, most).fetch_all(&mut *transaction).await?;
    let mut seen = HashSet::new();
    turns.retain(|turn| seen.insert(turn.tenant_id));
    let (mut limited, free): (Vec<_>, Vec<_>) = turns.into_iter().partition(|turn| turn.limited);
    // The limits of all tenants are locked below: by every claim in the same order, so that no two wait for each other.
    limited.sort_by(|one, other| one.queue.cmp(&other.queue));
    let mut claimed = take(&mut transaction, ids, claim, &free, until).await?;
    for turn in limited {
        if !has_room(&mut transaction, turn.tenant_id, &turn.queue).await? {
            continue;
        }
        let taken = take(&mut transaction, ids, claim, std::slice::from_ref(&turn), until).await?;
        if !taken.is_empty() {
            advance_rate(&mut transaction, turn.tenant_id, &turn.queue).await?;
        }
        claimed.extend(taken);
    }
    transaction.commit().await?;
    Ok(claimed)
}

/// Claims the first job of each of these queues, and moves the tenants to the end of the order.
async fn take(
    transaction: &mut PgConnection,
    ids: &dyn IdSource,
    claim: &Claim,
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
        .bind(&claim.kinds)
        .bind(i64::from(claim.per_tenant))
        .bind(claim.length)
        .bind(&claim.suspended)
        .bind(&claim.even_if_suspended)
        .fetch_all(transaction)
        .await?;
    rows.iter().map(|row| read(row, until)).collect()
}

/// Sets when the next job of a rate limited queue may start.
async fn advance_rate(transaction: &mut PgConnection, tenant: Uuid, queue: &str) -> Result<(), sqlx::Error> {
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

/// Checks again whether a limited queue has room, under a lock on its limits, so that only one claim at a time counts its running jobs. The
/// second statement sees what the previous claim has taken.
async fn has_room(transaction: &mut PgConnection, tenant: Uuid, queue: &str) -> Result<bool, sqlx::Error> {
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

/// Whether a job could be claimed. A claim that found none may have skipped rows that another claim had locked.
pub(crate) async fn can_claim(pool: &PgPool, claim: &Claim) -> Result<bool, sqlx::Error> {
    Ok(claim.bound(&claimable(""), 1).fetch_optional(pool).await?.is_some())
}

/// Restricts [`claimable`] to tenants with fewer running jobs than this one.
const WITH_FEWER_RUNNING: &str = "
          AND w.tenant_id <> $6
          AND (SELECT count(*) FROM jobs.jobs r WHERE r.tenant_id = w.tenant_id AND r.state = 'running')
            < (SELECT count(*) FROM jobs.jobs r WHERE r.tenant_id = $6 AND r.state = 'running')";

/// Whether other tenants with fewer running jobs than this one have a job that can be claimed.
pub(crate) async fn others_wait(pool: &PgPool, claim: &Claim, tenant: Uuid) -> Result<bool, sqlx::Error> {
    Ok(claim.bound(&claimable(WITH_FEWER_RUNNING), 1).bind(tenant).fetch_optional(pool).await?.is_some())
}

/// Frees the jobs whose lease has expired: they are run again at once, unless their attempts are used up or they were cancelled. Returns
/// their number.
pub(crate) async fn free_expired(pool: &PgPool, now: DateTime<Utc>) -> Result<u64, sqlx::Error> {
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

/// The time until something becomes due (a job, a schedule, a queue's rate limit), or a lease expires; `None` if nothing will. Considers
/// what became due after `since`, a time of the database, too. Jobs that were due before and wait for a slot are woken when a slot becomes
/// free.
pub(crate) async fn next(pool: &PgPool, since: DateTime<Utc>) -> Result<Option<Duration>, sqlx::Error> {
    let (due, lease): (Option<f64>, Option<f64>) = sqlx::query_as(
        "SELECT extract(epoch FROM least(
                    (SELECT min(run_at) FROM jobs.jobs
                     WHERE state = 'waiting' AND run_at > $1),
                    (SELECT min(next_at) FROM jobs.schedules WHERE next_at > $1),
                    -- Few rows: those of queues that are limited.
                    (SELECT min(ready_at) FROM jobs.queues WHERE ready_at > $1)
                ) - clock_timestamp())::float8,
                (SELECT extract(epoch FROM min(leased_until) - clock_timestamp())::float8 FROM jobs.jobs WHERE state = 'running')",
    )
    .bind(since)
    .fetch_one(pool)
    .await?;
    let due = due.map(|seconds| Duration::from_secs_f64(seconds.clamp(0.0, 3600.0)));
    // A lease that has expired but is still there is being handled by another process: look again soon, but not at once.
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
