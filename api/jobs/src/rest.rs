//! REST operations on jobs.

use chrono::{DateTime, Utc};
use face::{
    Authenticated, ByService, Command, Count, Empty, Example, Parameter, Plain, Problem, Unversioned,
    UnversionedCreated, example,
};
use jobs::{JobNames, Jobs, Listing, Submitted, UnknownName, Wanted};
use kernel::Refusal;
use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::Tag;
use crate::file::File;
use crate::parameters::StateName;
use crate::responses::{Detail, Log, Page, Summary};

/// The operations on jobs.
pub struct Rest {
    services: ByService<Jobs>,
}

/// A job to create.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "JobAsked")]
#[schemars(example = serde_json::json!({"kind": "export_leads", "arguments": {"status": ["qualified"]}}))]
struct New {
    /// The job's kind, such as `export_leads`.
    #[schemars(length(min = 1, max = 64))]
    kind: String,
    /// The job's arguments, as its kind defines them. Default: `{}`.
    #[serde(default = "no_arguments")]
    arguments: Value,
    /// The earliest start time (RFC 3339). Default: now.
    #[serde(default, deserialize_with = "kernel::deserialize_optional_time")]
    run_at: Option<DateTime<Utc>>,
}

/// The object that was created or changed.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[schemars(rename = "JobTarget")]
pub struct Target {
    /// The object's id.
    pub id: Uuid,
}

impl Example for Target {
    fn example() -> Self {
        Self { id: example::id(1) }
    }
}

impl Rest {
    pub(crate) fn new(services: ByService<Jobs>) -> Self {
        Self { services }
    }
}

#[OpenApi(tag = "Tag::Jobs")]
impl Rest {
    /// List the tenant's jobs, newest first
    ///
    /// Needs the permission `<service>:job:read`.
    #[expect(clippy::too_many_arguments, reason = "an argument is a parameter of the query string")]
    #[oai(path = "/v1/jobs/:service", method = "get", operation_id = "listJobs")]
    async fn list(
        &self,
        Authenticated(caller): Authenticated,
        service: Path<String>,
        /// Only jobs of this kind, such as `export_leads`.
        kind: Query<Option<String>>,
        /// Only jobs in this state.
        state: Query<Option<Parameter<StateName>>>,
        /// Only jobs of this queue.
        queue: Query<Option<String>>,
        /// Only jobs of this batch.
        batch: Query<Option<Uuid>>,
        /// Only jobs that this schedule created.
        schedule: Query<Option<Uuid>>,
        /// The `next` of the previous page.
        after: Query<Option<Uuid>>,
        /// Page size: 1 to 200. Default: 50.
        limit: Query<Option<Parameter<Count>>>,
    ) -> Result<Plain<Page>, Problem> {
        let Parameter(limit) = limit.0.unwrap_or_default();
        let state = state.0.map(|Parameter(StateName(state))| state);
        let listing = Listing {
            kind: kind.0,
            state,
            queue: queue.0,
            batch: batch.0,
            schedule: schedule.0,
            before: after.0,
            limit: limit.selected(),
        };
        let jobs = self.services.of(&service.0)?;
        let found = jobs.list(&caller, &listing).await?;
        // Only after `list`, which checks the caller's permission.
        if found.is_empty() {
            JobNames::from(jobs.kinds()).check(&listing).map_err(|UnknownName { filter, detail }| {
                Refusal::invalid("parameter_invalid", detail).with("parameter", filter)
            })?;
        }
        let (found, next) = limit.page(found, |last| last.id);
        Ok(Plain(Page { jobs: found.into_iter().map(Summary::from).collect(), next }))
    }

    /// Create a job
    ///
    /// Of a kind that can be requested by name, such as `export_leads`. `rebuild_read_model` is reserved for operators. Needs the
    /// permission `<service>:job:write`, and the permission that creating such a job needs.
    #[oai(path = "/v1/jobs/:service", method = "post", operation_id = "createJob")]
    async fn create(
        &self,
        service: Path<String>,
        command: Command<New>,
    ) -> Result<UnversionedCreated<Target>, Problem> {
        let jobs = self.services.of(&service.0)?;
        let New { kind, arguments, run_at } = command.body;
        let done =
            jobs.submit_by_name(&face::job_request(&command.request)?, &Wanted { kind, arguments }, run_at).await?;
        let location = format!("/v1/jobs/{}/{}", jobs.service(), done.id);
        Ok(unversioned(done).created(location))
    }

    /// Get a job with its log
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

    /// Get a job's log
    ///
    /// Oldest line first. To follow the log, send the `next` of the previous page as `after`; `next` is present as long as more lines may
    /// come. Needs the permission `<service>:job:read`.
    #[oai(path = "/v1/jobs/:service/:job/log", method = "get", operation_id = "getJobLog")]
    async fn log(
        &self,
        Authenticated(caller): Authenticated,
        service: Path<String>,
        job: Path<Uuid>,
        /// The `next` of the previous page: the number of lines to skip.
        after: Query<Option<u32>>,
        /// Page size: 1 to 200. Default: 50.
        limit: Query<Option<Parameter<Count>>>,
    ) -> Result<Plain<Log>, Problem> {
        let (after, Parameter(Count(limit))) = (after.0.unwrap_or_default(), limit.0.unwrap_or_default());
        let (job, lines) = self.services.of(&service.0)?.log(&caller, job.0, after, limit).await?;
        Ok(Plain(Log::of(&job, lines, after, limit)))
    }

    /// Download the output of a completed job
    ///
    /// Needs the permission `<service>:job:read`, and the permission that the job's kind needs.
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
    /// A waiting job is cancelled at once. A running job is asked to stop and stays `running` until it has stopped. Needs the permission
    /// `<service>:job:write`; for the jobs that remove files after an erasure, also the permission to erase.
    #[oai(path = "/v1/jobs/:service/:job/cancel", method = "post", operation_id = "cancelJob")]
    async fn cancel(
        &self,
        service: Path<String>,
        job: Path<Uuid>,
        command: Command<Empty>,
    ) -> Result<Unversioned<Target>, Problem> {
        let jobs = self.services.of(&service.0)?;
        Ok(unversioned(jobs.cancel(&face::job_request(&command.request)?, job.0).await?))
    }

    /// Retry a discarded or cancelled job
    ///
    /// The job starts again at once, with all its attempts, and continues where it stopped. Needs the permission `<service>:job:write`, and
    /// the permission that creating such a job needs.
    #[oai(path = "/v1/jobs/:service/:job/retry", method = "post", operation_id = "retryJob")]
    async fn retry(
        &self,
        service: Path<String>,
        job: Path<Uuid>,
        command: Command<Empty>,
    ) -> Result<Unversioned<Target>, Problem> {
        let jobs = self.services.of(&service.0)?;
        Ok(unversioned(jobs.retry(&face::job_request(&command.request)?, job.0).await?))
    }
}

/// The response to a command that was carried out.
pub fn unversioned(done: Submitted) -> Unversioned<Target> {
    Unversioned::new(done.repeated, Target { id: done.id })
}

/// The arguments of a job that is created without any.
pub fn no_arguments() -> Value {
    Value::Object(serde_json::Map::new())
}
