//! A job as stored in its row, and its log.

use chrono::{DateTime, Utc};
use eventstore::lists::distribute;
use kernel::TenantId;
use serde::Serialize;
use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgConnection, Row};
use uuid::Uuid;

use crate::{Listing, State};

/// A job.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Job {
    /// The job's id.
    pub id: Uuid,
    /// Its kind, such as `export_leads`.
    pub kind: String,
    /// The queue, to which pauses and limits apply.
    pub queue: String,
    /// The batch to which it belongs.
    pub batch: Option<Uuid>,
    /// The schedule that created it.
    pub schedule: Option<Uuid>,
    /// The time of the schedule for which it was created.
    pub slot: Option<DateTime<Utc>>,
    /// The arguments of its handler.
    pub arguments: Value,
    /// The subject that submitted it.
    pub actor: String,
    /// Its state.
    pub state: State,
    /// When it is, or was, due.
    pub run_at: DateTime<Utc>,
    /// The number of attempts that were begun.
    pub attempt: u32,
    /// The maximum number of attempts.
    pub max_attempts: u32,
    /// When it was asked to stop.
    pub cancel_requested_at: Option<DateTime<Utc>>,
    /// Progress: the units of work that are done.
    pub done: u64,
    /// Progress: the units of work in total, if known.
    pub total: Option<u64>,
    /// The number of parts of its output file.
    pub parts: u32,
    /// The handler's result.
    pub result: Option<Value>,
    /// The error code of the last failed attempt.
    pub code: Option<String>,
    /// The same as a sentence, for people.
    pub reason: Option<String>,
    /// When it was submitted.
    pub created_at: DateTime<Utc>,
    /// When the last attempt began.
    pub started_at: Option<DateTime<Utc>>,
    /// When it was completed, cancelled or discarded.
    pub finished_at: Option<DateTime<Utc>>,
}

/// A line of a job's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// When it was written.
    pub at: DateTime<Utc>,
    /// The number of the attempt; 0 before the first one.
    pub attempt: u32,
    /// The text.
    pub message: String,
}

impl Line {
    /// Pages of several jobs' logs, oldest line first. For each job: the lines after this number, and at most this many. Does not check
    /// permissions.
    pub async fn lists(
        tables: &mut PgConnection,
        tenant: TenantId,
        asked: &[(Uuid, u32, u32)],
    ) -> Result<Vec<Vec<Self>>, sqlx::Error> {
        let rows = sqlx::query(
            "SELECT a.nth, l.*
             FROM UNNEST($2::uuid[], $3::bigint[], $4::bigint[]) WITH ORDINALITY AS a (job_id, after, most, nth)
             CROSS JOIN LATERAL (
                 SELECT l.line, l.at, l.attempt, l.message FROM jobs.lines l
                 WHERE l.tenant_id = $1 AND l.job_id = a.job_id AND l.line > a.after ORDER BY l.line LIMIT a.most) l
             ORDER BY a.nth, l.line",
        )
        .bind(tenant.uuid())
        .bind(asked.iter().map(|(job, ..)| *job).collect::<Vec<_>>())
        .bind(asked.iter().map(|(_, after, _)| i64::from(*after)).collect::<Vec<_>>())
        .bind(asked.iter().map(|(.., most)| i64::from(*most)).collect::<Vec<_>>())
        .fetch_all(tables)
        .await?;
        distribute(&rows, asked.len())
    }
}

impl FromRow<'_, PgRow> for Line {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let attempt: i32 = row.try_get("attempt")?;
        Ok(Self { at: row.try_get("at")?, attempt: attempt.cast_unsigned(), message: row.try_get("message")? })
    }
}

/// The columns that [`Job::read`] reads. Three states are derived from the stored one and the clock (see [`State`]).
pub(crate) const COLUMNS: &str =
    "job_id, kind, queue, batch_id, schedule_id, slot, arguments, actor, run_at, attempt, max_attempts, cancel_requested_at, progress_done,
     progress_total, parts, result, code, reason, created_at, started_at, finished_at,
     CASE WHEN state <> 'waiting' THEN state WHEN run_at <= statement_timestamp() THEN 'available'
          WHEN attempt > 0 THEN 'retryable' ELSE 'scheduled' END AS state";

/// The condition for a [`Listing`], from the second parameter on. It compares states as they are shown.
const LISTED: &str =
    "($2::text IS NULL OR kind = $2) AND ($3::text IS NULL OR state = $3) AND ($4::text IS NULL OR queue = $4)
     AND ($5::uuid IS NULL OR batch_id = $5) AND ($6::uuid IS NULL OR schedule_id = $6)";

impl Job {
    /// The jobs of a tenant, newest first. Does not check permissions. `tables`: a transaction in which the tenant is set.
    pub async fn list(
        tables: &mut PgConnection,
        tenant: TenantId,
        listing: &Listing,
    ) -> Result<Vec<Self>, sqlx::Error> {
        // Uses the primary key, backwards. With a filter it reads until the page is full. There is no index for filters, because finished
        // jobs are kept for days only, and each index makes every attempt more expensive.
        let rows = sqlx::query(&format!(
            "SELECT * FROM (SELECT {COLUMNS} FROM jobs.jobs WHERE tenant_id = $1 AND ($7::uuid IS NULL OR job_id < $7)) j
             WHERE {LISTED}
             ORDER BY job_id DESC LIMIT $8"
        ))
        .bind(tenant.uuid())
        .bind(&listing.kind)
        .bind(listing.state.map(State::as_str))
        .bind(&listing.queue)
        .bind(listing.batch)
        .bind(listing.schedule)
        .bind(listing.before)
        .bind(i64::from(listing.limit))
        .fetch_all(tables)
        .await?;
        rows.iter().map(Self::read).collect()
    }

    /// The number of a tenant's jobs that match a listing, whatever page it asks for. Same preconditions as [`list`](Self::list).
    pub async fn count(tables: &mut PgConnection, tenant: TenantId, listing: &Listing) -> Result<i64, sqlx::Error> {
        // Scans all of the tenant's jobs, which is acceptable because finished jobs are kept for days only.
        sqlx::query_scalar(&format!(
            "SELECT count(*) FROM (SELECT {COLUMNS} FROM jobs.jobs WHERE tenant_id = $1) j WHERE {LISTED}"
        ))
        .bind(tenant.uuid())
        .bind(&listing.kind)
        .bind(listing.state.map(State::as_str))
        .bind(&listing.queue)
        .bind(listing.batch)
        .bind(listing.schedule)
        .fetch_one(tables)
        .await
    }

    /// One job of a tenant; `None` if there is none with this id. Same preconditions as [`list`](Self::list).
    pub async fn find(tables: &mut PgConnection, tenant: TenantId, id: Uuid) -> Result<Option<Self>, sqlx::Error> {
        let row = sqlx::query(&format!("SELECT {COLUMNS} FROM jobs.jobs WHERE tenant_id = $1 AND job_id = $2"))
            .bind(tenant.uuid())
            .bind(id)
            .fetch_optional(tables)
            .await?;
        row.as_ref().map(Self::read).transpose()
    }

    pub(crate) fn read(row: &PgRow) -> Result<Self, sqlx::Error> {
        let state: &str = row.try_get("state")?;
        Ok(Self {
            id: row.try_get("job_id")?,
            kind: row.try_get("kind")?,
            queue: row.try_get("queue")?,
            batch: row.try_get("batch_id")?,
            schedule: row.try_get("schedule_id")?,
            slot: row.try_get("slot")?,
            arguments: row.try_get("arguments")?,
            actor: row.try_get("actor")?,
            state: State::named(state).ok_or_else(|| sqlx::Error::Decode(format!("no state: {state}").into()))?,
            run_at: row.try_get("run_at")?,
            attempt: row.try_get::<i32, _>("attempt")?.cast_unsigned(),
            max_attempts: row.try_get::<i32, _>("max_attempts")?.cast_unsigned(),
            cancel_requested_at: row.try_get("cancel_requested_at")?,
            done: row.try_get::<i64, _>("progress_done")?.cast_unsigned(),
            total: row.try_get::<Option<i64>, _>("progress_total")?.map(i64::cast_unsigned),
            parts: row.try_get::<i32, _>("parts")?.cast_unsigned(),
            result: row.try_get("result")?,
            code: row.try_get("code")?,
            reason: row.try_get("reason")?,
            created_at: row.try_get("created_at")?,
            started_at: row.try_get("started_at")?,
            finished_at: row.try_get("finished_at")?,
        })
    }
}
