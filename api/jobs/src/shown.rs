//! What is shown of jobs.

use chrono::{DateTime, Utc};
use face::{Example, example};
use jobs::{Job, Line, State};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

/// Jobs, the last one first.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Jobs")]
pub struct Page {
    /// These.
    pub jobs: Vec<Summary>,
    /// Where the next page begins: send it as `after`. Absent: this is the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<Uuid>,
}

/// A job as it is now.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "JobSummary")]
pub struct Summary {
    /// Its id.
    pub id: Uuid,
    /// Its kind, such as `export_leads`.
    kind: String,
    /// Its queue: what pauses and limits are of.
    queue: String,
    /// The batch that it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    batch: Option<Uuid>,
    /// The schedule that asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    schedule: Option<Uuid>,
    /// For which of the schedule's times.
    #[serde(skip_serializing_if = "Option::is_none")]
    slot: Option<DateTime<Utc>>,
    /// scheduled, available, retryable, running, completed, cancelled or discarded.
    #[schemars(extend("enum" = State::ALL.map(State::as_str)))]
    state: &'static str,
    /// In whose name: the subject of their token.
    actor: String,
    /// When it is, or was, due.
    run_at: DateTime<Utc>,
    /// How often it was begun.
    attempt: u32,
    /// How often it is begun at most.
    max_attempts: u32,
    /// How much of it is done.
    done: u64,
    /// Of how much, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<u64>,
    /// Since when it is to stop.
    #[serde(skip_serializing_if = "Option::is_none")]
    cancel_requested_at: Option<DateTime<Utc>>,
    /// Why the last attempt that failed did so.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    /// The same, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// When it was asked for.
    created_at: DateTime<Utc>,
    /// When it was last begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<DateTime<Utc>>,
    /// When it was over.
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<DateTime<Utc>>,
}

/// A job with its log.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Job")]
pub struct Detail {
    /// How it stands.
    #[serde(flatten)]
    summary: Summary,
    /// What it was asked for.
    arguments: serde_json::Value,
    /// What it answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<serde_json::Value>,
    /// What happened, the first first.
    log: Vec<LogLine>,
}

/// Lines of a job's log, the first first.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "JobLog")]
pub struct Log {
    /// These.
    log: Vec<LogLine>,
    /// Where it goes on: send it as `after`. Absent: the job is over, and this was the last of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u32>,
}

/// A line of a job's log.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "JobLogLine")]
struct LogLine {
    /// When.
    at: DateTime<Utc>,
    /// In which attempt; 0: before the first.
    attempt: u32,
    /// What.
    message: String,
}

impl From<Job> for Summary {
    fn from(job: Job) -> Self {
        Self {
            id: job.id,
            kind: job.kind,
            queue: job.queue,
            batch: job.batch,
            schedule: job.schedule,
            slot: job.slot,
            state: job.state.as_str(),
            actor: job.actor,
            run_at: job.run_at,
            attempt: job.attempt,
            max_attempts: job.max_attempts,
            done: job.done,
            total: job.total,
            cancel_requested_at: job.cancel_requested_at,
            code: job.code,
            reason: job.reason,
            created_at: job.created_at,
            started_at: job.started_at,
            finished_at: job.finished_at,
        }
    }
}

impl Detail {
    /// A job and its log.
    pub fn of(mut job: Job, lines: Vec<Line>) -> Self {
        let arguments = job.arguments.take();
        let result = job.result.take();
        let log = lines.into_iter().map(LogLine::from).collect();
        Self { summary: job.into(), arguments, result, log }
    }
}

impl Log {
    /// Some lines of a job's log, after so many, and at most so many.
    pub fn of(job: &Job, lines: Vec<Line>, after: u32, limit: u32) -> Self {
        let read = u32::try_from(lines.len()).unwrap_or(u32::MAX);
        let more = read == limit || job.finished_at.is_none();
        Self { log: lines.into_iter().map(LogLine::from).collect(), next: more.then(|| after.saturating_add(read)) }
    }
}

impl From<Line> for LogLine {
    fn from(Line { at, attempt, message }: Line) -> Self {
        Self { at, attempt, message }
    }
}

impl Example for Summary {
    fn example() -> Self {
        Self {
            id: example::id(1),
            kind: "export_leads".to_owned(),
            queue: "exports".to_owned(),
            batch: None,
            schedule: None,
            slot: None,
            state: State::Completed.as_str(),
            actor: "ada".to_owned(),
            run_at: example::time(0),
            attempt: 1,
            max_attempts: 5,
            done: 10_000,
            total: Some(10_000),
            cancel_requested_at: None,
            code: None,
            reason: None,
            created_at: example::time(0),
            started_at: Some(example::time(0)),
            finished_at: Some(example::time(1)),
        }
    }
}

impl Example for Page {
    fn example() -> Self {
        Self { jobs: vec![Summary::example()], next: Some(example::id(1)) }
    }
}

impl Example for Detail {
    fn example() -> Self {
        Self {
            summary: Summary::example(),
            arguments: json!({ "status": ["qualified"] }),
            result: Some(json!({ "rows": 10_000 })),
            log: vec![LogLine::example()],
        }
    }
}

impl Example for Log {
    fn example() -> Self {
        Self { log: vec![LogLine::example()], next: None }
    }
}

impl Example for LogLine {
    fn example() -> Self {
        Self { at: example::time(1), attempt: 1, message: "10000 leads".to_owned() }
    }
}
