//! Response bodies of the operations that read jobs.

use chrono::{DateTime, Utc};
use face::{Example, example};
use jobs::{Job, Line, State};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

/// Jobs, newest first.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Jobs")]
pub struct Page {
    /// The jobs of this page.
    pub jobs: Vec<Summary>,
    /// Cursor of the next page: send it as `after`. Absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<Uuid>,
}

/// A background job.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "JobSummary")]
pub struct Summary {
    /// The job's id.
    pub id: Uuid,
    /// The job's kind, such as `export_leads`.
    kind: String,
    /// The queue in which the job runs; queues can be paused and limited.
    queue: String,
    /// The batch to which the job belongs.
    #[serde(skip_serializing_if = "Option::is_none")]
    batch: Option<Uuid>,
    /// The schedule that created the job.
    #[serde(skip_serializing_if = "Option::is_none")]
    schedule: Option<Uuid>,
    /// The scheduled time for which the job was created.
    #[serde(skip_serializing_if = "Option::is_none")]
    slot: Option<DateTime<Utc>>,
    /// The job's state: scheduled, available, retryable, running, completed, cancelled or discarded.
    #[schemars(extend("enum" = State::ALL.map(State::as_str)))]
    state: &'static str,
    /// The requester: the subject of their token.
    actor: String,
    /// When the job is, or was, due to run.
    run_at: DateTime<Utc>,
    /// Number of attempts so far.
    attempt: u32,
    /// Maximum number of attempts.
    max_attempts: u32,
    /// Progress: units of work done so far.
    done: u64,
    /// Total units of work, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<u64>,
    /// When somebody requested that the job stop.
    #[serde(skip_serializing_if = "Option::is_none")]
    cancel_requested_at: Option<DateTime<Utc>>,
    /// Error code of the last failed attempt, for programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    /// Error message of the last failed attempt, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// When the job was created.
    created_at: DateTime<Utc>,
    /// When the last attempt started.
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<DateTime<Utc>>,
    /// When the job finished.
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<DateTime<Utc>>,
}

/// A job with its log.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Job")]
pub struct Detail {
    /// The job.
    #[serde(flatten)]
    summary: Summary,
    /// The job's arguments.
    arguments: serde_json::Value,
    /// The job's result.
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<serde_json::Value>,
    /// The job's log, oldest line first.
    log: Vec<LogLine>,
}

/// Lines of a job's log, oldest first.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "JobLog")]
pub struct Log {
    /// The lines of this page.
    log: Vec<LogLine>,
    /// Cursor of the next page: send it as `after`. Absent once the job has finished and no more lines will come.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u32>,
}

/// A line of a job's log.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "JobLogLine")]
struct LogLine {
    /// When the line was written.
    at: DateTime<Utc>,
    /// The number of the attempt; 0: before the first one.
    attempt: u32,
    /// The text of the line.
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
    /// A page of a job's log: skips `after` lines and has at most `limit`.
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
