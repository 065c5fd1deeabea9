//! The operations.

use chrono::{DateTime, Utc};
use face::{Authenticated, Command, Count, Empty, Example, Noted, NotedNew, Parameter, Plain, Problem, example};
use jobs::{Listing, Submitted, Wanted};
use kernel::Refusal;
use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::file::File;
use crate::parameters::StateName;
use crate::shown::{Detail, Log, Page, Summary};
use crate::{Services, Tag};

/// The operations on jobs.
pub struct Rest {
    services: Services,
}

/// A job that is asked for by name.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "JobAsked")]
#[schemars(example = serde_json::json!({"kind": "export_leads", "arguments": {"status": ["qualified"]}}))]
struct New {
    /// Its kind, such as `export_leads`.
    #[schemars(length(min = 1, max = 64))]
    kind: String,
    /// What it is to work with: what the kind takes; `{}` unless given.
    #[serde(default = "nothing")]
    arguments: Value,
    /// Not before then (RFC 3339); at once unless given.
    #[serde(default, deserialize_with = "kernel::deserialize_optional_time")]
    run_at: Option<DateTime<Utc>>,
}

/// What was made or changed.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[schemars(rename = "JobTarget")]
pub struct Target {
    /// Its id.
    pub id: Uuid,
}

impl Example for Target {
    fn example() -> Self {
        Self { id: example::id(1) }
    }
}

impl Rest {
    pub(crate) fn new(services: Services) -> Self {
        Self { services }
    }
}

#[OpenApi(tag = "Tag::Jobs")]
impl Rest {
    /// The tenant's jobs, the last one first
    ///
    /// Needs the permission `<service>:job:read`.
    #[expect(clippy::too_many_arguments, reason = "an argument is a parameter of the query string")]
    #[oai(path = "/v1/jobs/:service", method = "get", operation_id = "listJobs")]
    async fn list(
        &self,
        Authenticated(caller): Authenticated,
        service: Path<String>,
        /// Only of this kind, such as `export_leads`.
        kind: Query<Option<String>>,
        /// Only those that stand so.
        state: Query<Option<Parameter<StateName>>>,
        /// Only those of this queue.
        queue: Query<Option<String>>,
        /// Only those of this batch.
        batch: Query<Option<Uuid>>,
        /// Only those that this schedule asked for.
        schedule: Query<Option<Uuid>>,
        /// `next` of the page before.
        after: Query<Option<Uuid>>,
        /// How many: 1 to 200; 50 unless given.
        limit: Query<Option<Parameter<Count>>>,
    ) -> Result<Plain<Page>, Problem> {
        let Parameter(Count(limit)) = limit.0.unwrap_or_default();
        let state = state.0.map(|Parameter(StateName(state))| state);
        let listing = Listing {
            kind: kind.0,
            state,
            queue: queue.0,
            batch: batch.0,
            schedule: schedule.0,
            before: after.0,
            limit: limit + 1,
        };
        let jobs = self.services.of(&service.0)?;
        let mut found = jobs.list(&caller, &listing).await?;
        // Asked of those alone who may see jobs; and those of a kind that an earlier program had are there for some days.
        if let Some(kind) = listing.kind.as_deref().filter(|_| found.is_empty()) {
            let unknown = |detail: String| Refusal::invalid("parameter_invalid", detail).with("parameter", "kind");
            jobs.kinds().known(kind).map_err(unknown)?;
        }
        let more = found.len() > limit as usize;
        found.truncate(limit as usize);
        let next = found.last().filter(|_| more).map(|last| last.id);
        Ok(Plain(Page { jobs: found.into_iter().map(Summary::from).collect(), next }))
    }

    /// Ask for a job by name
    ///
    /// Of a kind that is offered so, such as `export_leads`; `rebuild_read_model` is for operators. Needs the permission
    /// `<service>:job:write`, and the one that asking for such a job needs.
    #[oai(path = "/v1/jobs/:service", method = "post", operation_id = "createJob")]
    async fn create(&self, service: Path<String>, command: Command<New>) -> Result<NotedNew<Target>, Problem> {
        let jobs = self.services.of(&service.0)?;
        let New { kind, arguments, run_at } = command.body;
        let done = jobs.ask(&face::job_request(&command.request)?, &Wanted { kind, arguments }, run_at).await?;
        let location = format!("/v1/jobs/{}/{}", jobs.service(), done.id);
        Ok(noted(done).created(location))
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
        let (job, lines) = self.services.of(&service.0)?.find(&caller, job.0).await?;
        Ok(Plain(Detail::of(job, lines)))
    }

    /// A job's log
    ///
    /// The first line first. Whoever follows it asks again with the `next` of the page before, which is there while more may come.
    /// Needs the permission `<service>:job:read`.
    #[oai(path = "/v1/jobs/:service/:job/log", method = "get", operation_id = "getJobLog")]
    async fn log(
        &self,
        Authenticated(caller): Authenticated,
        service: Path<String>,
        job: Path<Uuid>,
        /// `next` of the page before: so many lines are known.
        after: Query<Option<u32>>,
        /// How many: 1 to 200; 50 unless given.
        limit: Query<Option<Parameter<Count>>>,
    ) -> Result<Plain<Log>, Problem> {
        let (after, Parameter(Count(limit))) = (after.0.unwrap_or_default(), limit.0.unwrap_or_default());
        let (job, lines) = self.services.of(&service.0)?.log(&caller, job.0, after, limit).await?;
        Ok(Plain(Log::of(&job, lines, after, limit)))
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
        let jobs = self.services.of(&service.0)?;
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
    ) -> Result<Noted<Target>, Problem> {
        let jobs = self.services.of(&service.0)?;
        Ok(noted(jobs.cancel(&face::job_request(&command.request)?, job.0).await?))
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
    ) -> Result<Noted<Target>, Problem> {
        let jobs = self.services.of(&service.0)?;
        Ok(noted(jobs.retry(&face::job_request(&command.request)?, job.0).await?))
    }
}

/// The answer to what was carried out.
pub fn noted(done: Submitted) -> Noted<Target> {
    Noted::new(done.repeated, Target { id: done.id })
}

/// The arguments of a job that is asked for without any.
pub fn nothing() -> Value {
    Value::Object(serde_json::Map::new())
}
