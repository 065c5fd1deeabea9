//! A job as its row shows it.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row};
use uuid::Uuid;

use crate::State;

/// A job.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Job {
    /// Its id.
    pub id: Uuid,
    /// Its kind, such as `export_leads`.
    pub kind: String,
    /// Of those that are open a tenant has one of a kind and key.
    pub unique_key: Option<String>,
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

impl FromRow<'_, PgRow> for Line {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let attempt: i32 = row.try_get("attempt")?;
        Ok(Self { at: row.try_get("at")?, attempt: attempt.cast_unsigned(), message: row.try_get("message")? })
    }
}

/// What [`Job::read`] reads; `$1` is the tenant, `$2` the time.
pub(crate) const COLUMNS: &str =
    "job_id, kind, unique_key, arguments, actor, run_at, attempt, max_attempts, cancel_requested_at, progress_done,
     progress_total, parts, result, code, reason, created_at, started_at, finished_at,
     CASE WHEN state <> 'waiting' THEN state WHEN run_at <= $2 THEN 'available'
          WHEN attempt > 0 THEN 'retryable' ELSE 'scheduled' END AS state";

impl Job {
    pub(crate) fn read(row: &PgRow) -> Result<Self, sqlx::Error> {
        let state: &str = row.try_get("state")?;
        Ok(Self {
            id: row.try_get("job_id")?,
            kind: row.try_get("kind")?,
            unique_key: row.try_get("unique_key")?,
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
