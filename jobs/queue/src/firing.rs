//! Creating the jobs of schedules that are due: once per time, however many processes check.
//!
//! A schedule's row has its next time. The process that locks the row when this time has come creates the job and sets the next time in one
//! transaction, so a process that is killed has done both or neither. Other processes skip the locked row. Due times are compared with the
//! database's clock, so a process with a wrong clock creates nothing early or twice. The schedules of suspended tenants stay due.

use chrono::{DateTime, Utc};
use kernel::TenantId;
use serde_json::Value;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::claim::Claim;
use crate::enqueue::{Entry, insert};
use crate::row::from_row;
use crate::unique::Uniqueness;
use crate::{Jobs, Kind, NewJob, Timetable};

/// A schedule that is due.
struct Due {
    tenant_id: Uuid,
    schedule_id: Uuid,
    kind: String,
    arguments: Value,
    actor: String,
    cron: String,
    time_zone: String,
    overlap: bool,
    next_at: DateTime<Utc>,
    now: DateTime<Utc>,
}

from_row!(Due { tenant_id, schedule_id, kind, arguments, actor, cron, time_zone, overlap, next_at, now });

/// Creates the jobs of all due schedules, of the kinds and tenants whose jobs may be claimed. Returns the time of the database when it looked
/// first: what becomes due after that may have been missed.
pub(crate) async fn fire(jobs: &Jobs, claim: &Claim) -> Result<DateTime<Utc>, sqlx::Error> {
    let inner = &*jobs.inner;
    let (checked_at, mut due) = is_due(&inner.work, claim).await?;
    // Usually nothing is due, and then no transaction is needed.
    while due {
        let mut tables = inner.work.begin().await?;
        let schedule: Option<Due> = sqlx::query_as(
            "SELECT tenant_id, schedule_id, kind, arguments, actor, cron, time_zone, overlap, next_at, clock_timestamp() AS now
             FROM jobs.schedules
             WHERE next_at <= clock_timestamp() AND kind = ANY($1) AND tenant_id <> ALL($2)
             ORDER BY next_at LIMIT 1 FOR UPDATE SKIP LOCKED",
        )
        .bind(&claim.kinds)
        .bind(&claim.suspended)
        .fetch_optional(&mut *tables)
        .await?;
        let Some(schedule) = schedule else { break };
        // The query selects only these kinds.
        let Some(kind) = inner.kinds.find(&schedule.kind) else { break };
        let times = Times::of(&schedule);
        let job = if !schedule.overlap && is_open(&mut tables, &schedule).await? {
            None
        } else {
            create(&mut tables, kind, &schedule, inner.ids.next()).await?
        };
        sqlx::query(
            "UPDATE jobs.schedules
             SET next_at = $3, last_at = CASE WHEN $4::uuid IS NULL THEN last_at ELSE next_at END,
                 last_job = coalesce($4, last_job), skipped = skipped + $5
             WHERE tenant_id = $1 AND schedule_id = $2",
        )
        .bind(schedule.tenant_id)
        .bind(schedule.schedule_id)
        .bind(times.next)
        .bind(job)
        .bind(times.passed + i64::from(job.is_none()))
        .execute(&mut *tables)
        .await?;
        tables.commit().await?;
        (_, due) = is_due(&inner.work, claim).await?;
    }
    Ok(checked_at)
}

/// Whether a schedule is due, and at what time of the database that was asked.
async fn is_due(pool: &PgPool, claim: &Claim) -> Result<(DateTime<Utc>, bool), sqlx::Error> {
    sqlx::query_as(
        "SELECT statement_timestamp(),
                EXISTS (
                    SELECT FROM jobs.schedules
                    WHERE next_at <= clock_timestamp() AND kind = ANY($1) AND tenant_id <> ALL($2))",
    )
    .bind(&claim.kinds)
    .bind(&claim.suspended)
    .fetch_one(pool)
    .await
}

/// The next time of a due schedule, and the times that were missed.
struct Times {
    next: Option<DateTime<Utc>>,
    /// How many later times have passed, too: one job is created for all of them.
    passed: i64,
}

impl Times {
    /// The maximum number of missed times that are counted, to limit the work.
    const COUNTED: usize = 1000;

    fn of(due: &Due) -> Self {
        // The expression was valid when the schedule was created. If this program can't parse it any more, the schedule ends.
        let Ok(table) = Timetable::new(&due.cron, &due.time_zone) else { return Self { next: None, passed: 0 } };
        let passed = table.next(due.next_at, Self::COUNTED).into_iter().take_while(|time| *time <= due.now).count();
        Self { next: table.after(due.now), passed: i64::try_from(passed).unwrap_or(i64::MAX) }
    }
}

/// Whether the job of an earlier time is still open.
async fn is_open(tables: &mut PgConnection, due: &Due) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM jobs.jobs
                        WHERE tenant_id = $1 AND schedule_id = $2 AND state IN ('waiting', 'running'))",
    )
    .bind(due.tenant_id)
    .bind(due.schedule_id)
    .fetch_one(tables)
    .await
}

/// Creates the job; `None` if there is one for this time already.
#[expect(clippy::disallowed_methods, reason = "the tenant of a schedule that an authenticated caller made")]
async fn create(tables: &mut PgConnection, kind: &Kind, due: &Due, id: Uuid) -> Result<Option<Uuid>, sqlx::Error> {
    let job = NewJob { arguments: due.arguments.clone(), actor: due.actor.clone(), run_at: None, unique: None };
    let uniqueness = Uniqueness::Slot(due.schedule_id, due.next_at);
    let entry = Entry { uniqueness, ..Entry::new(id, kind, &job, due.now) };
    let made = insert(tables, TenantId::vouched(due.tenant_id), &entry).await?;
    Ok(made.made.then_some(made.id))
}
