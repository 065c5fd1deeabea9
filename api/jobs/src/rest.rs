//! The operations.

use face::{Authenticated, Changed, Command, Empty, Parameter, Plain, Problem, Word};
use jobs::{Jobs, Listing, State, Submitted};
use kernel::{Refusal, Service};
use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};
use poem_openapi::registry::MetaSchema;
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use crate::Tag;
use crate::file::File;
use crate::shown::{Detail, Page, Summary};

/// The most of a page.
const MOST: u32 = 200;

/// The operations on jobs.
pub struct Rest {
    services: Vec<Jobs>,
}

/// Which job was changed.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[schemars(rename = "JobTarget")]
struct Target {
    /// Its id.
    id: Uuid,
}

/// How a job stands.
struct Standing(State);

/// How many.
struct Count(u32);

impl Rest {
    pub(crate) fn new(services: Vec<Jobs>) -> Self {
        Self { services }
    }

    fn jobs(&self, service: &str) -> Result<&Jobs, Refusal> {
        let found = self.services.iter().find(|jobs| jobs.service().name() == service);
        found.ok_or_else(|| {
            let names: Vec<_> = self.services.iter().map(|jobs| jobs.service().name()).collect();
            Refusal::not_found(
                "not_found",
                format!("there is no service {service:?} with jobs here; allowed: {}", names.join(", ")),
            )
        })
    }
}

#[OpenApi(tag = "Tag::Jobs")]
impl Rest {
    /// The tenant's jobs, the last one first
    ///
    /// Needs the permission `<service>:job:read`.
    #[oai(path = "/v1/jobs/:service", method = "get", operation_id = "listJobs")]
    async fn list(
        &self,
        Authenticated(caller): Authenticated,
        service: Path<String>,
        /// Only of this kind, such as `export_leads`.
        kind: Query<Option<String>>,
        /// Only those that stand so.
        state: Query<Option<Parameter<Standing>>>,
        /// `next` of the page before.
        after: Query<Option<Uuid>>,
        /// How many: 1 to 200; 50 unless given.
        limit: Query<Option<Parameter<Count>>>,
    ) -> Result<Plain<Page>, Problem> {
        let limit = limit.0.map_or(50, |Parameter(Count(limit))| limit);
        let state = state.0.map(|Parameter(Standing(state))| state);
        let listing = Listing { kind: kind.0, state, before: after.0, limit: limit + 1 };
        let mut found = self.jobs(&service.0)?.list(&caller, &listing).await?;
        let more = found.len() > limit as usize;
        found.truncate(limit as usize);
        let next = found.last().filter(|_| more).map(|last| last.id);
        Ok(Plain(Page { jobs: found.into_iter().map(Summary::from).collect(), next }))
    }

    /// A job with its log
    ///
    /// Needs the permission `<service>:job:read`.
    #[oai(path = "/v1/jobs/:service/:job", method = "get", operation_id = "getJob")]
    async fn get(
        &self,
        Authenticated(caller): Authenticated,
        service: Path<String>,
        job: Path<Uuid>,
    ) -> Result<Plain<Detail>, Problem> {
        let (job, lines) = self.jobs(&service.0)?.find(&caller, job.0).await?;
        Ok(Plain(Detail::of(job, lines)))
    }

    /// The file that a completed job made
    ///
    /// Needs the permission `<service>:job:read`, and the one that the job's kind asks for.
    #[oai(path = "/v1/jobs/:service/:job/output", method = "get", operation_id = "getJobOutput")]
    async fn output(
        &self,
        Authenticated(caller): Authenticated,
        service: Path<String>,
        job: Path<Uuid>,
    ) -> Result<File, Problem> {
        let jobs = self.jobs(&service.0)?;
        let (media_type, parts) = jobs.output(&caller, job.0).await?;
        Ok(File { jobs: jobs.clone(), tenant: caller.tenant(), id: job.0, media_type, parts })
    }

    /// Cancel a job
    ///
    /// One that waits is cancelled at once; one that runs is asked to stop, and is `running` until it has. Needs the permission
    /// `<service>:job:write`.
    #[oai(path = "/v1/jobs/:service/:job/cancel", method = "post", operation_id = "cancelJob")]
    async fn cancel(
        &self,
        service: Path<String>,
        job: Path<Uuid>,
        command: Command<Empty>,
    ) -> Result<Changed<Target>, Problem> {
        let jobs = self.jobs(&service.0)?;
        Ok(changed(jobs.service(), jobs.cancel(&face::job_request(&command.request)?, job.0).await?))
    }

    /// Run a discarded or cancelled job again
    ///
    /// At once, with all its attempts, from where it was. Needs the permission `<service>:job:write`.
    #[oai(path = "/v1/jobs/:service/:job/retry", method = "post", operation_id = "retryJob")]
    async fn retry(
        &self,
        service: Path<String>,
        job: Path<Uuid>,
        command: Command<Empty>,
    ) -> Result<Changed<Target>, Problem> {
        let jobs = self.jobs(&service.0)?;
        Ok(changed(jobs.service(), jobs.retry(&face::job_request(&command.request)?, job.0).await?))
    }
}

fn changed(service: Service, done: Submitted) -> Changed<Target> {
    Changed::beside_the_log(service, done.repeated, Target { id: done.id })
}

impl Word for Standing {
    const NAME: &'static str = "state";

    fn schema() -> MetaSchema {
        let names = State::ALL.map(|state| state.as_str().into()).to_vec();
        MetaSchema { enum_items: names, ..MetaSchema::new("string") }
    }

    fn read(text: &str) -> Result<Self, String> {
        State::named(text).map(Self).ok_or_else(|| format!("{text:?} is no state of a job"))
    }
}

impl Word for Count {
    const NAME: &'static str = "limit";

    fn schema() -> MetaSchema {
        MetaSchema { minimum: Some(1.0), maximum: Some(f64::from(MOST)), ..MetaSchema::new("integer") }
    }

    fn read(text: &str) -> Result<Self, String> {
        let read = text.parse().ok().filter(|count| (1..=MOST).contains(count));
        read.map(Self).ok_or_else(|| format!("{text:?} is not allowed; allowed is 1 to {MOST}"))
    }
}
