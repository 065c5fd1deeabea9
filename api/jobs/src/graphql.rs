//! Jobs in GraphQL: to look at. They are asked for and changed over REST, like everything.

use chrono::{DateTime, Utc};
use face::graphql::{
    BigInt, Context, Fetch, Fetching, Page, PageRequest, Session, bad_argument, few, int, load, unreadable,
};
use face::{MOST_OF_A_PAGE, connection};
use futures::FutureExt;
use futures::future::BoxFuture;
use jobs::{Batch, Job, Line, Listing, Queue, Schedule, State};
use juniper::{FieldResult, GraphQLEnum, GraphQLObject, graphql_object};
use kernel::{Service, TenantId};
use sqlx::PgConnection;
use uuid::Uuid;

/// What all questions need, in each service.
const READ: &str = "job:read";

/// What is done while nobody waits for the answer.
#[derive(Clone, Copy, Debug, Default)]
pub struct JobsQuery;

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

/// What is done while nobody waits for the answer.
#[graphql_object(context = Context)]
impl JobsQuery {
    /// Jobs, last asked for first. Of one service, or of all in which the caller has the permission `<service>:job:read`, which all
    /// questions here need.
    #[expect(clippy::too_many_arguments, reason = "each is a filter")]
    async fn jobs(
        context: &Context,
        service: Option<String>,
        kind: Option<String>,
        state: Option<JobState>,
        queue: Option<String>,
        batch: Option<Uuid>,
        schedule: Option<Uuid>,
        #[graphql(default = 20)] first: Option<i32>,
        after: Option<String>,
    ) -> FieldResult<Option<JobConnection>> {
        const ORDER: &str = "JOBS_NEWEST";
        let services = context.permitted(service.as_deref(), READ)?;
        let request = PageRequest::new(first, after.as_deref(), ORDER)?;
        let (state, limit) = (state.map(State::from), request.first + 1);
        let listing = Listing { kind, state, queue, batch, schedule, before: request.after, limit };
        let mut found = Vec::new();
        for &service in &services {
            let mut tables = context.reader(service).await?;
            let jobs = Job::list(&mut tables, context.caller().tenant(), &listing).await.map_err(unreadable)?;
            found.extend(jobs.into_iter().map(|job| JobRow { service, job }));
        }
        // Each service's own page ends no earlier than this one does: nothing is left out between two pages.
        found.sort_by_key(|row| std::cmp::Reverse(row.job.id));
        let page = Page::new(&request, ORDER, found, |row| row.job.id);
        Ok(Some(JobConnection::new(page, Wanted { services, listing })))
    }

    /// The job with this id.
    async fn job(context: &Context, service: Option<String>, id: Uuid) -> FieldResult<Option<JobRow>> {
        let found =
            find(context, service.as_deref(), id, |tables, tenant, id| Job::find(tables, tenant, id).boxed()).await?;
        Ok(found.map(|(service, job)| JobRow { service, job }))
    }

    /// The tenant's schedules, the first made first.
    async fn schedules(context: &Context, service: Option<String>) -> FieldResult<Option<Vec<ScheduleRow>>> {
        let mut all = Vec::new();
        for service in context.permitted(service.as_deref(), READ)? {
            let mut tables = context.reader(service).await?;
            let found = Schedule::list(&mut tables, context.caller().tenant()).await.map_err(unreadable)?;
            all.extend(found.into_iter().map(|schedule| ScheduleRow { service, schedule }));
        }
        all.sort_by_key(|row| row.schedule.id);
        Ok(Some(all))
    }

    /// The schedule with this id.
    async fn schedule(context: &Context, service: Option<String>, id: Uuid) -> FieldResult<Option<ScheduleRow>> {
        let found =
            find(context, service.as_deref(), id, |tables, tenant, id| Schedule::find(tables, tenant, id).boxed())
                .await?;
        Ok(found.map(|(service, schedule)| ScheduleRow { service, schedule }))
    }

    /// The queues in which the tenant has open jobs, or which it has paused or limited; each service has its own.
    async fn queues(context: &Context, service: Option<String>) -> FieldResult<Option<Vec<JobQueue>>> {
        let mut all = Vec::new();
        for service in context.permitted(service.as_deref(), READ)? {
            let mut tables = context.reader(service).await?;
            let found = Queue::list(&mut tables, context.caller().tenant(), &[]).await.map_err(unreadable)?;
            all.extend(found.into_iter().map(|queue| JobQueue::of(service, queue)));
        }
        Ok(Some(all))
    }

    /// The batch with this id.
    async fn batch(context: &Context, service: Option<String>, id: Uuid) -> FieldResult<Option<JobBatch>> {
        let found =
            find(context, service.as_deref(), id, |tables, tenant, id| Batch::find(tables, tenant, id).boxed()).await?;
        Ok(found.map(|(service, batch)| JobBatch::of(service, batch)))
    }
}

/// How what has an id is found in the tables of a service.
type Find<T> = for<'a> fn(&'a mut PgConnection, TenantId, Uuid) -> BoxFuture<'a, Result<Option<T>, sqlx::Error>>;

/// What has an id, and in which service: the first of those that are asked for.
async fn find<T>(
    context: &Context,
    service: Option<&str>,
    id: Uuid,
    find: Find<T>,
) -> FieldResult<Option<(Service, T)>> {
    for service in context.permitted(service, READ)? {
        let mut tables = context.reader(service).await?;
        if let Some(found) = find(&mut tables, context.caller().tenant(), id).await.map_err(unreadable)? {
            return Ok(Some((service, found)));
        }
    }
    Ok(None)
}

/// Which jobs are listed, and of which services.
#[derive(Clone, Debug)]
struct Wanted {
    services: Vec<Service>,
    listing: Listing,
}

async fn count(context: &Context, wanted: &Wanted) -> FieldResult<i64> {
    let mut all = 0;
    for &service in &wanted.services {
        let mut tables = context.reader(service).await?;
        all += Job::count(&mut tables, context.caller().tenant(), &wanted.listing).await.map_err(unreadable)?;
    }
    Ok(all)
}

connection! {
    /// A page of jobs.
    pub struct JobConnection of JobRow by JobEdge, counted by count where Wanted
}

/// A job.
#[derive(Clone, Debug)]
pub struct JobRow {
    service: Service,
    job: Job,
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

/// What asks for jobs again and again.
pub struct ScheduleRow {
    service: Service,
    schedule: Schedule,
}

/// What asks for jobs again and again.
#[graphql_object(context = Context, name = "JobSchedule")]
impl ScheduleRow {
    /// The service whose it is.
    fn service(&self) -> &str {
        self.service.name()
    }

    /// Its id.
    fn id(&self) -> Uuid {
        self.schedule.id
    }

    /// The jobs' kind.
    fn kind(&self) -> &str {
        &self.schedule.kind
    }

    /// What they are to work with, as JSON.
    fn arguments(&self) -> String {
        self.schedule.arguments.to_string()
    }

    /// In whose name they are.
    fn actor(&self) -> &str {
        &self.schedule.actor
    }

    /// When: a cron expression.
    fn cron(&self) -> &str {
        &self.schedule.cron
    }

    /// In which time zone.
    fn time_zone(&self) -> &str {
        &self.schedule.time_zone
    }

    /// Whether a time counts that comes while the job of an earlier one is still open.
    fn overlap(&self) -> bool {
        self.schedule.overlap
    }

    /// Whether its times pass.
    fn paused(&self) -> bool {
        self.schedule.next_at.is_none()
    }

    /// The times that come next, at most 200.
    fn next(&self, #[graphql(default = 5)] first: Option<i32>) -> FieldResult<Vec<DateTime<Utc>>> {
        let count = usize::try_from(few(first, 5, MOST_OF_A_PAGE)?).unwrap_or(usize::MAX);
        let Some(at) = self.schedule.next_at else { return Ok(Vec::new()) };
        let mut times = vec![at];
        times.extend(self.schedule.next_times(at, count - 1));
        Ok(times)
    }

    /// The last time for which a job was made.
    fn last_at(&self) -> Option<DateTime<Utc>> {
        self.schedule.last_at
    }

    /// That job.
    fn last_job(&self) -> Option<Uuid> {
        self.schedule.last_job
    }

    /// How many times passed without a job of their own.
    fn skipped(&self) -> BigInt {
        BigInt(self.schedule.skipped.into())
    }
}

/// A queue as the tenant has it.
#[derive(Clone, Debug, GraphQLObject)]
#[graphql(context = Context)]
pub struct JobQueue {
    /// The service whose it is.
    service: String,
    /// Its name.
    name: String,
    /// Since when nothing begins there.
    paused_at: Option<DateTime<Utc>>,
    /// At most so many run at the same time; null: as many as there is room for.
    concurrency: Option<i32>,
    /// At most so many begin …
    rate_count: Option<i32>,
    /// … in so many seconds; null: as many as there is room for.
    rate_seconds: Option<i32>,
    /// How many jobs wait.
    waiting: BigInt,
    /// How many run.
    running: i32,
}

/// Jobs that belong together.
#[derive(Clone, Debug, GraphQLObject)]
#[graphql(context = Context)]
pub struct JobBatch {
    /// The service whose it is.
    service: String,
    /// Its id.
    id: Uuid,
    /// In whose name.
    actor: String,
    /// How many jobs it has.
    total: i32,
    /// How many of them are done.
    completed: i32,
    /// How many were cancelled.
    cancelled: i32,
    /// How many failed for good.
    discarded: i32,
    /// The job that is asked for when all of them are over.
    then: Option<Uuid>,
    /// When it was asked for.
    created_at: DateTime<Utc>,
    /// When the last of its jobs was over.
    finished_at: Option<DateTime<Utc>>,
}

impl JobQueue {
    fn of(service: Service, one: Queue) -> Self {
        let rate = one.limits.rate;
        Self {
            service: service.name().to_owned(),
            name: one.name,
            paused_at: one.paused_at,
            concurrency: one.limits.concurrency.map(|count| int(count.into())),
            rate_count: rate.map(|rate| int(rate.count.into())),
            rate_seconds: rate.map(|rate| int(rate.seconds.into())),
            waiting: BigInt(one.waiting.into()),
            running: int(i64::try_from(one.running).unwrap_or(i64::MAX)),
        }
    }
}

impl JobBatch {
    fn of(service: Service, one: Batch) -> Self {
        Self {
            service: service.name().to_owned(),
            id: one.id,
            actor: one.actor,
            total: one.total,
            completed: one.completed,
            cancelled: one.cancelled,
            discarded: one.discarded,
            then: one.then,
            created_at: one.created_at,
            finished_at: one.finished_at,
        }
    }
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
