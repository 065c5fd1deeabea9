//! Jobs in GraphQL, read-only: jobs are created and changed over REST.

mod batch;
mod job;
mod queue;
mod schedule;

use face::connection;
use face::graphql::{Context, Page, PageRequest, bad_argument, unreadable};
use futures::FutureExt;
use futures::future::BoxFuture;
use jobs::{Batch, Job, JobNames, Listing, Queue, Schedule, State, UnknownName};
use juniper::{FieldResult, graphql_object};
use kernel::{Service, TenantId};
use sqlx::PgConnection;
use uuid::Uuid;

use self::batch::JobBatch;
use self::job::{JobRow, JobState};
use self::queue::JobQueue;
use self::schedule::ScheduleRow;

/// The permission that every query here needs, in each service.
const READ: &str = "job:read";

/// Background jobs, with their schedules, queues and batches.
#[derive(Clone, Copy, Debug, Default)]
pub struct JobsQuery;

/// Background jobs, with their schedules, queues and batches. Read-only: jobs are created and changed over REST.
#[graphql_object(context = Context)]
impl JobsQuery {
    /// Jobs, newest first. From one service, or from all services in which the caller has the permission `<service>:job:read`. Every query
    /// here needs this permission.
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
        if found.is_empty() {
            let names: JobNames = services.iter().map(|&service| context.job_names(service)).collect();
            names.check(&listing).map_err(|UnknownName { filter, detail }| bad_argument(filter, &detail))?;
        }
        // Each service contributes up to a full page and one more, so no job is lost between this page and the next.
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

    /// The tenant's schedules, oldest first.
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

    /// The queues in which the tenant has open jobs or which it has paused or limited. Each service has its own queues.
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

/// Finds an object by its id in the tables of one service.
type Find<T> = for<'a> fn(&'a mut PgConnection, TenantId, Uuid) -> BoxFuture<'a, Result<Option<T>, sqlx::Error>>;

/// Finds an object by its id in the first of the requested services that has it.
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

/// The filter of a list of jobs, and the services that it covers.
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
