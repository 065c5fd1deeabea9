//! REST operations on batches of jobs.

use chrono::{DateTime, Utc};
use face::{
    Authenticated, ByService, Command, Empty, Example, Plain, Problem, Unversioned, UnversionedCreated, example,
};
use jobs::{Batch, Jobs, NewBatch, Wanted};
use poem_openapi::OpenApi;
use poem_openapi::param::Path;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::Tag;
use crate::rest::{Target, no_arguments, unversioned};

/// The operations on batches.
pub struct Batches {
    services: ByService<Jobs>,
}

/// A job of a batch.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "JobRequest")]
struct JobRequest {
    /// The job's kind, such as `export_leads`.
    #[schemars(length(min = 1, max = 64))]
    kind: String,
    /// The job's arguments, as its kind defines them. Default: `{}`.
    #[serde(default = "no_arguments")]
    arguments: Value,
}

/// A batch to create.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "JobBatchRequest")]
#[schemars(example = serde_json::json!({"jobs": [{"kind": "export_leads", "arguments": {"status": ["new"]}}, {"kind": "export_leads", "arguments": {"status": ["qualified"]}}]}))]
struct New {
    /// The jobs of the batch.
    #[schemars(length(min = 1, max = 1000))]
    jobs: Vec<JobRequest>,
    /// A follow-up job, which is created once all jobs of the batch have finished, whatever their outcome.
    #[serde(default)]
    then: Option<JobRequest>,
}

/// A batch: jobs that were created together.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "JobBatch")]
struct Shown {
    /// The batch's id.
    id: Uuid,
    /// The requester: the subject of their token.
    actor: String,
    /// Number of jobs in the batch.
    total: u32,
    /// Number of jobs that wait or run.
    open: u32,
    /// Number of jobs that completed.
    completed: u32,
    /// Number of jobs that were cancelled.
    cancelled: u32,
    /// Number of jobs that failed permanently.
    discarded: u32,
    /// The follow-up job. Present once it was created, when all jobs of the batch have finished.
    #[serde(skip_serializing_if = "Option::is_none")]
    then: Option<Uuid>,
    /// When the batch was created.
    created_at: DateTime<Utc>,
    /// When the last of its jobs finished.
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<DateTime<Utc>>,
}

impl From<Batch> for Shown {
    fn from(one: Batch) -> Self {
        let open = one.total - one.completed - one.cancelled - one.discarded;
        Self {
            id: one.id,
            actor: one.actor,
            total: one.total.cast_unsigned(),
            open: open.cast_unsigned(),
            completed: one.completed.cast_unsigned(),
            cancelled: one.cancelled.cast_unsigned(),
            discarded: one.discarded.cast_unsigned(),
            then: one.then,
            created_at: one.created_at,
            finished_at: one.finished_at,
        }
    }
}

impl From<JobRequest> for Wanted {
    fn from(JobRequest { kind, arguments }: JobRequest) -> Self {
        Self { kind, arguments }
    }
}

impl Batches {
    pub(crate) fn new(services: ByService<Jobs>) -> Self {
        Self { services }
    }
}

impl Example for Shown {
    fn example() -> Self {
        Self {
            id: example::id(1),
            actor: "ada".to_owned(),
            total: 2,
            open: 0,
            completed: 1,
            cancelled: 0,
            discarded: 1,
            then: Some(example::id(2)),
            created_at: example::time(0),
            finished_at: Some(example::time(3)),
        }
    }
}

#[OpenApi(tag = "Tag::Jobs")]
impl Batches {
    /// Create a batch of jobs
    ///
    /// Creates all of the jobs or none. `GET /v1/jobs/{service}?batch=…` lists them. Needs the permission `<service>:job:write`, and the
    /// permissions that creating each of the jobs needs.
    #[oai(path = "/v1/jobs/:service/batches", method = "post", operation_id = "createJobBatch")]
    async fn create(
        &self,
        service: Path<String>,
        command: Command<New>,
    ) -> Result<UnversionedCreated<Target>, Problem> {
        let jobs = self.services.of(&service.0)?;
        let new = NewBatch {
            jobs: command.body.jobs.into_iter().map(Wanted::from).collect(),
            then: command.body.then.map(Wanted::from),
        };
        let done = jobs.submit_batch(&face::job_request(&command.request)?, &new).await?;
        let location = format!("/v1/jobs/{}/batches/{}", jobs.service(), done.id);
        Ok(unversioned(done).created(location))
    }

    /// Get a batch and its progress
    ///
    /// Needs the permission `<service>:job:read`.
    #[oai(path = "/v1/jobs/:service/batches/:batch", method = "get", operation_id = "getJobBatch")]
    async fn get(
        &self,
        Authenticated(caller): Authenticated,
        service: Path<String>,
        batch: Path<Uuid>,
    ) -> Result<Plain<Shown>, Problem> {
        Ok(Plain(self.services.of(&service.0)?.find_batch(&caller, batch.0).await?.into()))
    }

    /// Cancel all unfinished jobs of a batch
    ///
    /// Waiting jobs are cancelled at once; running jobs stop as soon as they notice the request. The batch's follow-up job is created
    /// nevertheless. Needs the permission `<service>:job:write`.
    #[oai(path = "/v1/jobs/:service/batches/:batch/cancel", method = "post", operation_id = "cancelJobBatch")]
    async fn cancel(
        &self,
        service: Path<String>,
        batch: Path<Uuid>,
        command: Command<Empty>,
    ) -> Result<Unversioned<Target>, Problem> {
        let jobs = self.services.of(&service.0)?;
        let request = face::job_request(&command.request)?;
        Ok(unversioned(jobs.cancel_batch(&request, batch.0).await?))
    }
}
