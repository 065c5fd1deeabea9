//! The operations on queues.

use chrono::{DateTime, Utc};
use face::{Authenticated, Command, Empty, Example, Noted, Plain, Problem, example};
use jobs::{Limits, Queue};
use poem_openapi::OpenApi;
use poem_openapi::param::Path;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Services, Tag};

/// Queues: each kind of job is in one.
pub struct Queues {
    services: Services,
}

/// How many jobs begin in which time: evenly, one each `seconds / count`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "JobRate")]
struct Rate {
    /// So many.
    #[schemars(range(min = 1, max = 100_000))]
    count: u32,
    /// In so many seconds.
    #[schemars(range(min = 1, max = 86_400))]
    seconds: u32,
}

/// How much of a queue runs. What is left out is not limited, but by what all tenants may.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "JobQueueLimit")]
#[schemars(example = serde_json::json!({"concurrency": 1, "rate": {"count": 60, "seconds": 60}}))]
struct Limit {
    /// At most so many at the same time.
    #[serde(default)]
    #[schemars(range(min = 1, max = 1000))]
    concurrency: Option<u32>,
    /// At most so many in a time.
    #[serde(default)]
    rate: Option<Rate>,
}

/// A queue as the tenant has it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "JobQueue")]
struct Shown {
    /// Its name.
    name: String,
    /// Since when nothing begins there.
    #[serde(skip_serializing_if = "Option::is_none")]
    paused_at: Option<DateTime<Utc>>,
    /// At most so many run at the same time; absent: as many as there is room for.
    #[serde(skip_serializing_if = "Option::is_none")]
    concurrency: Option<u32>,
    /// At most so many begin in a time; absent: as many as there is room for.
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<Rate>,
    /// Who paused, resumed or limited it last.
    #[serde(skip_serializing_if = "Option::is_none")]
    changed_by: Option<String>,
    /// When.
    #[serde(skip_serializing_if = "Option::is_none")]
    changed_at: Option<DateTime<Utc>>,
    /// How many of the tenant's jobs wait.
    waiting: u64,
    /// How many run.
    running: u64,
}

/// Queues, by name.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "JobQueues")]
struct List {
    /// These.
    queues: Vec<Shown>,
}

/// Which queue was changed.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "JobQueueTarget")]
struct Target {
    /// Its name.
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
    pub(crate) fn new(services: Services) -> Self {
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
    /// The queues, as the tenant has them
    ///
    /// Needs the permission `<service>:job:read`.
    #[oai(path = "/v1/jobs/:service/queues", method = "get", operation_id = "listJobQueues")]
    async fn list(&self, Authenticated(caller): Authenticated, service: Path<String>) -> Result<Plain<List>, Problem> {
        let queues = self.services.of(&service.0)?.queues(&caller).await?;
        Ok(Plain(List { queues: queues.into_iter().map(Shown::from).collect() }))
    }

    /// Pause a queue
    ///
    /// For the tenant: none of its jobs begins there; what runs goes on, what is asked for waits. Needs the permission
    /// `<service>:job:write`.
    #[oai(path = "/v1/jobs/:service/queues/:queue/pause", method = "post", operation_id = "pauseJobQueue")]
    async fn pause(
        &self,
        service: Path<String>,
        queue: Path<String>,
        command: Command<Empty>,
    ) -> Result<Noted<Target>, Problem> {
        let jobs = self.services.of(&service.0)?;
        let repeated = jobs.pause_queue(&face::job_request(&command.request)?, &queue.0).await?;
        Ok(Noted::new(repeated, Target { queue: queue.0 }))
    }

    /// Let a paused queue go on
    ///
    /// Needs the permission `<service>:job:write`.
    #[oai(path = "/v1/jobs/:service/queues/:queue/resume", method = "post", operation_id = "resumeJobQueue")]
    async fn resume(
        &self,
        service: Path<String>,
        queue: Path<String>,
        command: Command<Empty>,
    ) -> Result<Noted<Target>, Problem> {
        let jobs = self.services.of(&service.0)?;
        let repeated = jobs.resume_queue(&face::job_request(&command.request)?, &queue.0).await?;
        Ok(Noted::new(repeated, Target { queue: queue.0 }))
    }

    /// Limit how much of a queue runs
    ///
    /// For the tenant, and never beyond what all tenants may; what is left out is not limited. Needs the permission
    /// `<service>:job:write`.
    #[oai(path = "/v1/jobs/:service/queues/:queue/limit", method = "post", operation_id = "limitJobQueue")]
    async fn limit(
        &self,
        service: Path<String>,
        queue: Path<String>,
        command: Command<Limit>,
    ) -> Result<Noted<Target>, Problem> {
        let jobs = self.services.of(&service.0)?;
        let limits = Limits {
            concurrency: command.body.concurrency,
            rate: command.body.rate.map(|Rate { count, seconds }| jobs::Rate { count, seconds }),
        };
        let repeated = jobs.limit_queue(&face::job_request(&command.request)?, &queue.0, limits).await?;
        Ok(Noted::new(repeated, Target { queue: queue.0 }))
    }
}
