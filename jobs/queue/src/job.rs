//! A job as its row shows it.

use chrono::{DateTime, Utc};
use eventstore::lists::dealt;
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
    /// Its id.
    pub id: Uuid,
    /// Its kind, such as `export_leads`.
    pub kind: String,
    /// Its queue: what limits and pauses are of.
    pub queue: String,
    /// The batch that it belongs to.
    pub batch: Option<Uuid>,
    /// The schedule that asked for it.
    pub schedule: Option<Uuid>,
    /// For which of the schedule's times.
    pub slot: Option<DateTime<Utc>>,
    /// What it was asked for.
    pub arguments: Value,
    /// In whose name.
    pub actor: String,
    /// How it stands.
    pub state: State,
    /// When it is, or was, due.
    pub run_at: DateTime<Utc>,
    /// How often it was begun.
    pub attempt: u32,
    /// How often it is begun at most.
    pub max_attempts: u32,
    /// Since when it is to stop.
    pub cancel_requested_at: Option<DateTime<Utc>>,
    /// How much of it is done.
    pub done: u64,
    /// Of how much, where that is known.
    pub total: Option<u64>,
    /// How many parts its file has.
    pub parts: u32,
    /// What it answered.
    pub result: Option<Value>,
    /// Why the last attempt that failed did so.
    pub code: Option<String>,
    /// The same, for people.
    pub reason: Option<String>,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// When it was last begun.
    pub started_at: Option<DateTime<Utc>>,
    /// When it was over.
    pub finished_at: Option<DateTime<Utc>>,
}

/// A line of a job's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// When.
    pub at: DateTime<Utc>,
    /// In which attempt; 0: before the first.
    pub attempt: u32,
    /// What.
    pub message: String,
}

impl Line {
    /// The logs of jobs, the first line first; for whoever may see them. Of each: only the lines after this many, and at most so many.
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
        dealt(&rows, asked.len())
    }
}

impl FromRow<'_, PgRow> for Line {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let attempt: i32 = row.try_get("attempt")?;
        Ok(Self { at: row.try_get("at")?, attempt: attempt.cast_unsigned(), message: row.try_get("message")? })
    }
}

/// What [`Job::read`] reads.
pub(crate) const COLUMNS: &str =
    "job_id, kind, queue, batch_id, schedule_id, slot, arguments, actor, run_at, attempt, max_attempts, cancel_requested_at, progress_done,
     progress_total, parts, result, code, reason, created_at, started_at, finished_at,
     CASE WHEN state <> 'waiting' THEN state WHEN run_at <= statement_timestamp() THEN 'available'
          WHEN attempt > 0 THEN 'retryable' ELSE 'scheduled' END AS state";

/// Which jobs are listed, by how they are shown: what [`Listing`] says, from the second parameter on.
const LISTED: &str =
    "($2::text IS NULL OR kind = $2) AND ($3::text IS NULL OR state = $3) AND ($4::text IS NULL OR queue = $4)
     AND ($5::uuid IS NULL OR batch_id = $5) AND ($6::uuid IS NULL OR schedule_id = $6)";

impl Job {
    /// The jobs of a tenant, the last one first; for whoever may see them. `tables`: a transaction in which the tenant is set.
    pub async fn list(
        tables: &mut PgConnection,
        tenant: TenantId,
        listing: &Listing,
    ) -> Result<Vec<Self>, sqlx::Error> {
        // By the primary key, backwards. A filter reads on until the page is full: no index of its own, as what is over is kept
        // for days only, and each index is paid by every attempt.
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

    /// How many jobs of a tenant a list has from its beginning to its end, whatever page is asked for; in such a transaction.
    pub async fn count(tables: &mut PgConnection, tenant: TenantId, listing: &Listing) -> Result<i64, sqlx::Error> {
        // Goes through the tenant's jobs: what is over is kept for days only.
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

    /// One of them; none: there is none with this id.
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
