//! A job in GraphQL, with its log.

use chrono::{DateTime, Utc};
use face::graphql::{BigInt, Context, Fetch, Fetching, Session, bad_argument, int, keyed, load, page_size};
use face::{MOST_OF_A_PAGE, mirror};
use jobs::{Job, Line, State};
use juniper::{FieldResult, GraphQLObject, graphql_object};
use kernel::Service;
use sqlx::PgConnection;
use uuid::Uuid;

mirror! {
    /// The state of a job.
    pub enum JobState of State {
        /// Waits until its start time.
        Scheduled,
        /// Ready to run; waits for its tenant's turn.
        Available,
        /// The last attempt failed; the job is retried later.
        Retryable,
        /// A worker is running it.
        Running,
        /// Finished successfully.
        Completed,
        /// Cancelled on request.
        Cancelled,
        /// Failed permanently; it can be retried by hand.
        Discarded,
    }
}

/// A background job.
#[derive(Clone, Debug)]
pub struct JobRow {
    pub(super) service: Service,
    pub(super) job: Job,
}

/// A background job.
#[graphql_object(context = Context, name = "Job")]
impl JobRow {
    /// The service to which the job belongs.
    fn service(&self) -> &str {
        self.service.name()
    }

    /// The job's id.
    fn id(&self) -> Uuid {
        self.job.id
    }

    /// The job's kind, such as `export_leads`.
    fn kind(&self) -> &str {
        &self.job.kind
    }

    /// The queue in which the job runs.
    fn queue(&self) -> &str {
        &self.job.queue
    }

    /// The job's state.
    fn state(&self) -> JobState {
        self.job.state.into()
    }

    /// The job's arguments, as JSON.
    fn arguments(&self) -> String {
        self.job.arguments.to_string()
    }

    /// The requester: the subject of their token.
    fn actor(&self) -> &str {
        &self.job.actor
    }

    /// When the job is, or was, due to run.
    fn run_at(&self) -> DateTime<Utc> {
        self.job.run_at
    }

    /// Number of attempts so far.
    fn attempt(&self) -> i32 {
        int(self.job.attempt.into())
    }

    /// Maximum number of attempts.
    fn max_attempts(&self) -> i32 {
        int(self.job.max_attempts.into())
    }

    /// Progress: units of work done so far.
    fn done(&self) -> BigInt {
        BigInt(self.job.done.into())
    }

    /// Total units of work, if known.
    fn total(&self) -> Option<BigInt> {
        self.job.total.map(|total| BigInt(total.into()))
    }

    /// The job's result, as JSON.
    fn result(&self) -> Option<String> {
        self.job.result.as_ref().map(ToString::to_string)
    }

    /// Error code of the last failed attempt, for programs.
    fn code(&self) -> Option<&str> {
        self.job.code.as_deref()
    }

    /// Error message of the last failed attempt, for people.
    fn reason(&self) -> Option<&str> {
        self.job.reason.as_deref()
    }

    /// The batch to which the job belongs.
    fn batch(&self) -> Option<Uuid> {
        self.job.batch
    }

    /// The schedule that created the job.
    fn schedule(&self) -> Option<Uuid> {
        self.job.schedule
    }

    /// The scheduled time for which the job was created.
    fn slot(&self) -> Option<DateTime<Utc>> {
        self.job.slot
    }

    /// When somebody requested that the job stop.
    fn cancel_requested_at(&self) -> Option<DateTime<Utc>> {
        self.job.cancel_requested_at
    }

    /// When the job was created.
    fn created_at(&self) -> DateTime<Utc> {
        self.job.created_at
    }

    /// When the last attempt started.
    fn started_at(&self) -> Option<DateTime<Utc>> {
        self.job.started_at
    }

    /// When the job finished.
    fn finished_at(&self) -> Option<DateTime<Utc>> {
        self.job.finished_at
    }

    /// The job's log, oldest line first: at most 200 lines. `after` is the number of lines to skip.
    async fn log(
        &self,
        context: &Context,
        #[graphql(default = 50)] first: Option<i32>,
        #[graphql(default = 0)] after: i32,
    ) -> FieldResult<Vec<JobLogLine>> {
        let limit = page_size(first, 50, MOST_OF_A_PAGE)?;
        let after = u32::try_from(after).map_err(|_| bad_argument("after", "allowed is 0 or more"))?;
        Ok(load::<Logs>(context, self.service, (self.job.id, after, limit)).await?.unwrap_or_default())
    }
}

/// Loads the logs of several jobs at once. A key is a job, how many lines to skip, and how many to read.
struct Logs;

impl Fetch for Logs {
    type Key = (Uuid, u32, u32);
    type Value = Vec<JobLogLine>;

    fn fetch<'a>(
        session: &'a Session,
        tables: &'a mut PgConnection,
        keys: &'a [Self::Key],
    ) -> Fetching<'a, Self::Key, Self::Value> {
        let tenant = session.caller().tenant();
        Box::pin(async move {
            let line = |Line { at, attempt, message }| JobLogLine { at, attempt: int(u32::into(attempt)), message };
            let logs = Line::lists(tables, tenant, keys).await?;
            Ok(keyed(keys, logs, line))
        })
    }
}

/// A line of a job's log.
#[derive(Clone, Debug, GraphQLObject)]
#[graphql(context = Context)]
pub struct JobLogLine {
    /// When the line was written.
    at: DateTime<Utc>,
    /// The number of the attempt; 0: before the first one.
    attempt: i32,
    /// The text of the line.
    message: String,
}
