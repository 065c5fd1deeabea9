//! A job in GraphQL, with its log.

use chrono::{DateTime, Utc};
use face::MOST_OF_A_PAGE;
use face::graphql::{BigInt, Context, Fetch, Fetching, Session, bad_argument, few, int, load};
use jobs::{Job, Line, State};
use juniper::{FieldResult, GraphQLEnum, GraphQLObject, graphql_object};
use kernel::Service;
use sqlx::PgConnection;
use uuid::Uuid;

/// How a job stands.
#[derive(Clone, Copy, Debug, GraphQLEnum)]
#[graphql(name = "JobState")]
pub enum JobState {
    /// Its time has not come.
    Scheduled,
    /// It waits for its tenant's turn.
    Available,
    /// It failed, and is tried again later.
    Retryable,
    /// Somebody works at it.
    Running,
    /// Done.
    Completed,
    /// Somebody did not want it any more.
    Cancelled,
    /// It failed for good; a person may retry it.
    Discarded,
}

/// A job.
#[derive(Clone, Debug)]
pub struct JobRow {
    pub(super) service: Service,
    pub(super) job: Job,
}

/// A job.
#[graphql_object(context = Context, name = "Job")]
impl JobRow {
    /// The service whose it is.
    fn service(&self) -> &str {
        self.service.name()
    }

    /// Its id.
    fn id(&self) -> Uuid {
        self.job.id
    }

    /// Its kind, such as `export_leads`.
    fn kind(&self) -> &str {
        &self.job.kind
    }

    /// Its queue.
    fn queue(&self) -> &str {
        &self.job.queue
    }

    /// How it stands.
    fn state(&self) -> JobState {
        self.job.state.into()
    }

    /// What it was asked for, as JSON.
    fn arguments(&self) -> String {
        self.job.arguments.to_string()
    }

    /// In whose name: the subject of their token.
    fn actor(&self) -> &str {
        &self.job.actor
    }

    /// When it is, or was, due.
    fn run_at(&self) -> DateTime<Utc> {
        self.job.run_at
    }

    /// How often it was begun.
    fn attempt(&self) -> i32 {
        int(self.job.attempt.into())
    }

    /// How often it is begun at most.
    fn max_attempts(&self) -> i32 {
        int(self.job.max_attempts.into())
    }

    /// How much of it is done.
    fn done(&self) -> BigInt {
        BigInt(self.job.done.into())
    }

    /// Of how much, where that is known.
    fn total(&self) -> Option<BigInt> {
        self.job.total.map(|total| BigInt(total.into()))
    }

    /// What it answered, as JSON.
    fn result(&self) -> Option<String> {
        self.job.result.as_ref().map(ToString::to_string)
    }

    /// Why the last attempt that failed did so; for programs.
    fn code(&self) -> Option<&str> {
        self.job.code.as_deref()
    }

    /// The same, for people.
    fn reason(&self) -> Option<&str> {
        self.job.reason.as_deref()
    }

    /// The batch that it belongs to.
    fn batch(&self) -> Option<Uuid> {
        self.job.batch
    }

    /// The schedule that asked for it.
    fn schedule(&self) -> Option<Uuid> {
        self.job.schedule
    }

    /// For which of the schedule's times.
    fn slot(&self) -> Option<DateTime<Utc>> {
        self.job.slot
    }

    /// Since when it is to stop.
    fn cancel_requested_at(&self) -> Option<DateTime<Utc>> {
        self.job.cancel_requested_at
    }

    /// When it was asked for.
    fn created_at(&self) -> DateTime<Utc> {
        self.job.created_at
    }

    /// When it was last begun.
    fn started_at(&self) -> Option<DateTime<Utc>> {
        self.job.started_at
    }

    /// When it was over.
    fn finished_at(&self) -> Option<DateTime<Utc>> {
        self.job.finished_at
    }

    /// What happened, the first first: at most 200 lines, after so many.
    async fn log(
        &self,
        context: &Context,
        #[graphql(default = 50)] first: Option<i32>,
        #[graphql(default = 0)] after: i32,
    ) -> FieldResult<Vec<JobLogLine>> {
        let limit = few(first, 50, MOST_OF_A_PAGE)?;
        let after = u32::try_from(after).map_err(|_| bad_argument("after", "allowed is 0 or more"))?;
        Ok(load::<Logs>(context, self.service, (self.job.id, after, limit)).await?.unwrap_or_default())
    }
}

/// The logs of jobs: of each after how many lines, and how many.
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
            let logs = Line::lists(tables, tenant, keys).await?.into_iter();
            Ok(keys.iter().copied().zip(logs.map(|lines| lines.into_iter().map(line).collect())).collect())
        })
    }
}

/// A line of a job's log.
#[derive(Clone, Debug, GraphQLObject)]
#[graphql(context = Context)]
pub struct JobLogLine {
    /// When.
    at: DateTime<Utc>,
    /// In which attempt; 0: before the first.
    attempt: i32,
    /// What.
    message: String,
}

impl From<JobState> for State {
    fn from(state: JobState) -> Self {
        match state {
            JobState::Scheduled => Self::Scheduled,
            JobState::Available => Self::Available,
            JobState::Retryable => Self::Retryable,
            JobState::Running => Self::Running,
            JobState::Completed => Self::Completed,
            JobState::Cancelled => Self::Cancelled,
            JobState::Discarded => Self::Discarded,
        }
    }
}

impl From<State> for JobState {
    fn from(state: State) -> Self {
        match state {
            State::Scheduled => Self::Scheduled,
            State::Available => Self::Available,
            State::Retryable => Self::Retryable,
            State::Running => Self::Running,
            State::Completed => Self::Completed,
            State::Cancelled => Self::Cancelled,
            State::Discarded => Self::Discarded,
        }
    }
}
