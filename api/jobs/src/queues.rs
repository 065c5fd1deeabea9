//! REST operations on job queues.

use chrono::{DateTime, Utc};
use face::{Authenticated, ByService, Command, Empty, Example, Plain, Problem, Unversioned, example};
use jobs::{Jobs, Limits, Queue};
use poem_openapi::OpenApi;
use poem_openapi::param::Path;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Tag;

/// The operations on queues. Each kind of job has one queue.
pub struct Queues {
    services: ByService<Jobs>,
}

/// A rate limit. Starts are spread evenly: one every `seconds / count` seconds.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "JobRate")]
struct Rate {
    /// Maximum number of jobs that start in the period.
    #[schemars(range(min = 1, max = 100_000))]
    count: u32,
    /// Length of the period in seconds.
    #[schemars(range(min = 1, max = 86_400))]
    seconds: u32,
}

/// Limits of a queue. A limit that is omitted is removed; the limits for all tenants still apply.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "JobQueueLimit")]
#[schemars(example = serde_json::json!({"concurrency": 1, "rate": {"count": 60, "seconds": 60}}))]
struct Limit {
    /// Maximum number of jobs that run at the same time.
    #[serde(default)]
    #[schemars(range(min = 1, max = 1000))]
    concurrency: Option<u32>,
    /// Maximum number of jobs that start in a period.
    #[serde(default)]
    rate: Option<Rate>,
}

/// A job queue, with the tenant's own limits and counts.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "JobQueue")]
struct Shown {
    /// The queue's name.
    name: String,
    /// Since when the queue is paused; no job starts meanwhile.
    #[serde(skip_serializing_if = "Option::is_none")]
    paused_at: Option<DateTime<Utc>>,
    /// Maximum number of jobs that run at the same time. Absent: not limited by the tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    concurrency: Option<u32>,
    /// Maximum number of jobs that start in a period. Absent: not limited by the tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<Rate>,
    /// Who last paused, resumed or limited the queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    changed_by: Option<String>,
    /// When that was.
    #[serde(skip_serializing_if = "Option::is_none")]
    changed_at: Option<DateTime<Utc>>,
    /// Number of the tenant's jobs that wait.
    waiting: u64,
    /// Number of the tenant's jobs that run.
    running: u64,
}

/// Queues, by name.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "JobQueues")]
struct List {
    /// The queues.
    queues: Vec<Shown>,
}

/// The queue that was changed.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "JobQueueTarget")]
struct Target {
    /// The queue's name.
    queue: String,
}

impl From<Queue> for Shown {
    fn from(one: Queue) -> Self {
        Self {
            name: one.name,
            paused_at: one.paused_at,
            concurrency: one.limits.concurrency,
            rate: one.limits.rate.map(|jobs::Rate { count, seconds }| Rate { count, seconds }),
            changed_by: one.changed_by,
            changed_at: one.changed_at,
            waiting: one.waiting,
            running: one.running,
        }
    }
}

impl Queues {
    pub(crate) fn new(services: ByService<Jobs>) -> Self {
        Self { services }
    }
}

impl Example for List {
    fn example() -> Self {
        let exports = Shown {
            name: "exports".to_owned(),
            paused_at: None,
            concurrency: Some(1),
            rate: Some(Rate { count: 60, seconds: 60 }),
            changed_by: Some("ada".to_owned()),
            changed_at: Some(example::time(0)),
            waiting: 3,
            running: 1,
        };
        Self { queues: vec![exports] }
    }
}

impl Example for Target {
    fn example() -> Self {
        Self { queue: "exports".to_owned() }
    }
}

#[OpenApi(tag = "Tag::Jobs")]
impl Queues {
    /// List the tenant's job queues
    ///
    /// Needs the permission `<service>:job:read`.
    #[oai(path = "/v1/jobs/:service/queues", method = "get", operation_id = "listJobQueues")]
    async fn list(&self, Authenticated(caller): Authenticated, service: Path<String>) -> Result<Plain<List>, Problem> {
        let queues = self.services.of(&service.0)?.queues(&caller).await?;
        Ok(Plain(List { queues: queues.into_iter().map(Shown::from).collect() }))
    }

    /// Pause a queue
    ///
    /// For this tenant, no job of the queue starts until the queue is resumed. Running jobs continue; new jobs wait. Needs the permission
    /// `<service>:job:write`; for the queue of the jobs that remove files after an erasure, also the permission to erase.
    #[oai(path = "/v1/jobs/:service/queues/:queue/pause", method = "post", operation_id = "pauseJobQueue")]
    async fn pause(
        &self,
        service: Path<String>,
        queue: Path<String>,
        command: Command<Empty>,
    ) -> Result<Unversioned<Target>, Problem> {
        let jobs = self.services.of(&service.0)?;
        let repeated = jobs.pause_queue(&face::job_request(&command.request)?, &queue.0).await?;
        Ok(Unversioned::new(repeated, Target { queue: queue.0 }))
    }

    /// Resume a paused queue
    ///
    /// Needs the permission `<service>:job:write`.
    #[oai(path = "/v1/jobs/:service/queues/:queue/resume", method = "post", operation_id = "resumeJobQueue")]
    async fn resume(
        &self,
        service: Path<String>,
        queue: Path<String>,
        command: Command<Empty>,
    ) -> Result<Unversioned<Target>, Problem> {
        let jobs = self.services.of(&service.0)?;
        let repeated = jobs.resume_queue(&face::job_request(&command.request)?, &queue.0).await?;
        Ok(Unversioned::new(repeated, Target { queue: queue.0 }))
    }

    /// Limit the throughput of a queue
    ///
    /// For this tenant, and never beyond the limits for all tenants. A limit that is omitted is removed. Needs the permission
    /// `<service>:job:write`; for the queue of the jobs that remove files after an erasure, also the permission to erase.
    #[oai(path = "/v1/jobs/:service/queues/:queue/limit", method = "post", operation_id = "limitJobQueue")]
    async fn limit(
        &self,
        service: Path<String>,
        queue: Path<String>,
        command: Command<Limit>,
    ) -> Result<Unversioned<Target>, Problem> {
        let jobs = self.services.of(&service.0)?;
        let limits = Limits {
            concurrency: command.body.concurrency,
            rate: command.body.rate.map(|Rate { count, seconds }| jobs::Rate { count, seconds }),
        };
        let repeated = jobs.limit_queue(&face::job_request(&command.request)?, &queue.0, limits).await?;
        Ok(Unversioned::new(repeated, Target { queue: queue.0 }))
    }
}
