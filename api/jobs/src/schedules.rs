//! REST operations on job schedules.

use chrono::{DateTime, Utc};
use face::{
    Authenticated, ByService, Command, Empty, Example, Plain, Problem, Unversioned, UnversionedCreated, example,
};
use jobs::{Changes, Jobs, NewSchedule, Schedule};
use poem_openapi::OpenApi;
use poem_openapi::param::Path;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::Tag;
use crate::rest::{Target, no_arguments, unversioned};

/// The number of next times that a response contains.
const NEXT_TIMES: usize = 5;

/// The operations on schedules.
pub struct Schedules {
    services: ByService<Jobs>,
}

/// A schedule to create.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "JobScheduleRequest")]
#[schemars(example = serde_json::json!({"kind": "export_leads", "arguments": {"status": ["qualified"]}, "cron": "0 6 * * MON-FRI", "time_zone": "Europe/Berlin"}))]
struct New {
    /// The kind of the jobs, such as `export_leads`.
    #[schemars(length(min = 1, max = 64))]
    kind: String,
    /// The arguments of the jobs, as their kind defines them. Default: `{}`.
    #[serde(default = "no_arguments")]
    arguments: Value,
    /// The times, as a cron expression: minute, hour, day of month, month, day of week, such as `0 6 * * MON-FRI`. `L` is the last day of a
    /// month, `MON#2` its second Monday.
    #[schemars(length(min = 1, max = 200))]
    cron: String,
    /// The IANA time zone of the cron expression, such as `Europe/Berlin`. Default: `UTC`. A time that a clock change skips becomes the
    /// first moment after the gap.
    #[serde(default = "utc")]
    #[schemars(length(min = 1, max = 100))]
    time_zone: String,
    /// Whether to create a job while the one of an earlier time is still open. Default: false.
    #[serde(default)]
    overlap: bool,
}

/// Changes to a schedule. Members that are omitted stay as they are.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "JobScheduleChange")]
#[schemars(example = serde_json::json!({"cron": "30 6 * * MON-FRI"}))]
struct Change {
    /// The arguments of the jobs.
    #[serde(default)]
    arguments: Option<Value>,
    /// The times, as a cron expression.
    #[serde(default)]
    #[schemars(length(min = 1, max = 200))]
    cron: Option<String>,
    /// The IANA time zone of the cron expression.
    #[serde(default)]
    #[schemars(length(min = 1, max = 100))]
    time_zone: Option<String>,
    /// Whether to create a job while the one of an earlier time is still open.
    #[serde(default)]
    overlap: Option<bool>,
}

/// A schedule, which creates jobs at recurring times.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "JobSchedule")]
struct Shown {
    /// The schedule's id.
    id: Uuid,
    /// The kind of the jobs.
    kind: String,
    /// The queue of the jobs.
    queue: String,
    /// The arguments of the jobs.
    arguments: Value,
    /// The requester of the jobs: the subject of their token.
    actor: String,
    /// The times, as a cron expression.
    cron: String,
    /// The IANA time zone of the cron expression.
    time_zone: String,
    /// Whether a job is created while the one of an earlier time is still open.
    overlap: bool,
    /// Whether the schedule creates no jobs: it is paused, or no time is left.
    paused: bool,
    /// The next times, at most five.
    next: Vec<DateTime<Utc>>,
    /// The last time for which a job was created.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_at: Option<DateTime<Utc>>,
    /// The last job that was created.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_job: Option<Uuid>,
    /// Number of times that passed without a job of their own, because the previous job was still open or no process was running.
    skipped: u64,
    /// When the schedule was created.
    created_at: DateTime<Utc>,
    /// Who changed it last.
    changed_by: String,
    /// When it was last changed.
    changed_at: DateTime<Utc>,
}

/// Schedules, oldest first.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "JobSchedules")]
struct List {
    /// The schedules.
    schedules: Vec<Shown>,
}

impl From<Schedule> for Shown {
    fn from(one: Schedule) -> Self {
        // The list starts with `next_at` itself, which is in the past for the moment between when it is due and when its job is created.
        let next = one.next_at.map(|at| {
            let mut times = vec![at];
            times.extend(one.next_times(at, NEXT_TIMES - 1));
            times
        });
        Self {
            id: one.id,
            kind: one.kind,
            queue: one.queue,
            arguments: one.arguments,
            actor: one.actor,
            cron: one.cron,
            time_zone: one.time_zone,
            overlap: one.overlap,
            paused: one.next_at.is_none(),
            next: next.unwrap_or_default(),
            last_at: one.last_at,
            last_job: one.last_job,
            skipped: one.skipped.cast_unsigned(),
            created_at: one.created_at,
            changed_by: one.changed_by,
            changed_at: one.changed_at,
        }
    }
}

impl Schedules {
    pub(crate) fn new(services: ByService<Jobs>) -> Self {
        Self { services }
    }
}

impl Example for Shown {
    fn example() -> Self {
        let days = |days: u32| example::time(days * 24 * 60);
        Self {
            id: example::id(1),
            kind: "export_leads".to_owned(),
            queue: "exports".to_owned(),
            arguments: json!({ "status": ["qualified"] }),
            actor: "ada".to_owned(),
            cron: "30 9 * * *".to_owned(),
            time_zone: "UTC".to_owned(),
            overlap: false,
            paused: false,
            next: vec![days(8), days(9), days(10), days(11), days(12)],
            last_at: Some(days(7)),
            last_job: Some(example::id(2)),
            skipped: 0,
            created_at: days(0),
            changed_by: "ada".to_owned(),
            changed_at: days(0),
        }
    }
}

impl Example for List {
    fn example() -> Self {
        Self { schedules: vec![Shown::example()] }
    }
}

#[OpenApi(tag = "Tag::Jobs")]
impl Schedules {
    /// List the tenant's job schedules
    ///
    /// Oldest first. Needs the permission `<service>:job:read`.
    #[oai(path = "/v1/jobs/:service/schedules", method = "get", operation_id = "listJobSchedules")]
    async fn list(&self, Authenticated(caller): Authenticated, service: Path<String>) -> Result<Plain<List>, Problem> {
        let schedules = self.services.of(&service.0)?.schedules(&caller).await?;
        Ok(Plain(List { schedules: schedules.into_iter().map(Shown::from).collect() }))
    }

    /// Create a schedule for recurring jobs
    ///
    /// Creates one job per scheduled time, in the caller's name, however many processes run. For all times that passed while no process was
    /// running it creates a single job. Needs the permission `<service>:job:write`, and the permission that creating such a job needs.
    #[oai(path = "/v1/jobs/:service/schedules", method = "post", operation_id = "createJobSchedule")]
    async fn create(
        &self,
        service: Path<String>,
        command: Command<New>,
    ) -> Result<UnversionedCreated<Target>, Problem> {
        let jobs = self.services.of(&service.0)?;
        let New { kind, arguments, cron, time_zone, overlap } = command.body;
        let new = NewSchedule { kind, arguments, cron, time_zone, overlap };
        let done = jobs.schedule(&face::job_request(&command.request)?, &new).await?;
        let location = format!("/v1/jobs/{}/schedules/{}", jobs.service(), done.id);
        Ok(unversioned(done).created(location))
    }

    /// Get a schedule with its next times
    ///
    /// Needs the permission `<service>:job:read`.
    #[oai(path = "/v1/jobs/:service/schedules/:schedule", method = "get", operation_id = "getJobSchedule")]
    async fn get(
        &self,
        Authenticated(caller): Authenticated,
        service: Path<String>,
        schedule: Path<Uuid>,
    ) -> Result<Plain<Shown>, Problem> {
        Ok(Plain(self.services.of(&service.0)?.find_schedule(&caller, schedule.0).await?.into()))
    }

    /// Change a schedule
    ///
    /// Jobs that it has already created do not change. Needs the permission `<service>:job:write`, and the permission that creating such a
    /// job needs.
    #[oai(path = "/v1/jobs/:service/schedules/:schedule/change", method = "post", operation_id = "changeJobSchedule")]
    async fn change(
        &self,
        service: Path<String>,
        schedule: Path<Uuid>,
        command: Command<Change>,
    ) -> Result<Unversioned<Target>, Problem> {
        let jobs = self.services.of(&service.0)?;
        let Change { arguments, cron, time_zone, overlap } = command.body;
        let changes = Changes { arguments, cron, time_zone, overlap };
        let request = face::job_request(&command.request)?;
        Ok(unversioned(jobs.change_schedule(&request, schedule.0, &changes).await?))
    }

    /// Pause a schedule
    ///
    /// It creates no jobs until it is resumed. Needs the permission `<service>:job:write`.
    #[oai(path = "/v1/jobs/:service/schedules/:schedule/pause", method = "post", operation_id = "pauseJobSchedule")]
    async fn pause(
        &self,
        service: Path<String>,
        schedule: Path<Uuid>,
        command: Command<Empty>,
    ) -> Result<Unversioned<Target>, Problem> {
        let jobs = self.services.of(&service.0)?;
        let request = face::job_request(&command.request)?;
        Ok(unversioned(jobs.pause_schedule(&request, schedule.0).await?))
    }

    /// Resume a paused schedule
    ///
    /// It continues with the next scheduled time and does not catch up on the times that passed meanwhile. Needs the permission
    /// `<service>:job:write`, and the permission that creating such a job needs.
    #[oai(path = "/v1/jobs/:service/schedules/:schedule/resume", method = "post", operation_id = "resumeJobSchedule")]
    async fn resume(
        &self,
        service: Path<String>,
        schedule: Path<Uuid>,
        command: Command<Empty>,
    ) -> Result<Unversioned<Target>, Problem> {
        let jobs = self.services.of(&service.0)?;
        let request = face::job_request(&command.request)?;
        Ok(unversioned(jobs.resume_schedule(&request, schedule.0).await?))
    }

    /// Remove a schedule
    ///
    /// Jobs that it has already created remain. Needs the permission `<service>:job:write`.
    #[oai(path = "/v1/jobs/:service/schedules/:schedule/remove", method = "post", operation_id = "removeJobSchedule")]
    async fn remove(
        &self,
        service: Path<String>,
        schedule: Path<Uuid>,
        command: Command<Empty>,
    ) -> Result<Unversioned<Target>, Problem> {
        let jobs = self.services.of(&service.0)?;
        let request = face::job_request(&command.request)?;
        Ok(unversioned(jobs.remove_schedule(&request, schedule.0).await?))
    }
}

fn utc() -> String {
    "UTC".to_owned()
}
