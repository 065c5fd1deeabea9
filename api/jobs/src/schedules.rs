//! The operations on schedules.

use chrono::{DateTime, Utc};
use face::{Authenticated, Command, Empty, Example, Noted, NotedNew, Plain, Problem, example};
use jobs::{Changes, NewSchedule, Schedule};
use poem_openapi::OpenApi;
use poem_openapi::param::Path;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::rest::{Target, noted, nothing};
use crate::{Services, Tag};

/// How many of its next times are shown of a schedule.
const SHOWN: usize = 5;

/// Jobs that are asked for again and again.
pub struct Schedules {
    services: Services,
}

/// A schedule that is asked for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "JobScheduleRequest")]
#[schemars(example = serde_json::json!({"kind": "export_leads", "arguments": {"status": ["qualified"]}, "cron": "0 6 * * MON-FRI", "time_zone": "Europe/Berlin"}))]
struct New {
    /// The jobs' kind, such as `export_leads`.
    #[schemars(length(min = 1, max = 64))]
    kind: String,
    /// What they are to work with: what the kind takes; `{}` unless given.
    #[serde(default = "nothing")]
    arguments: Value,
    /// When: minute, hour, day of month, month, day of week, such as `0 6 * * MON-FRI`. `L` is the last day of a month, `MON#2` its
    /// second Monday.
    #[schemars(length(min = 1, max = 200))]
    cron: String,
    /// In which time zone of IANA's, such as `Europe/Berlin`; `UTC` unless given. A time that the clocks leap over falls on the
    /// first moment after the gap.
    #[serde(default = "utc")]
    #[schemars(length(min = 1, max = 100))]
    time_zone: String,
    /// Whether a time counts that comes while the job of an earlier one is still open; false unless given.
    #[serde(default)]
    overlap: bool,
}

/// What of a schedule is changed; what is left out stays.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "JobScheduleChange")]
#[schemars(example = serde_json::json!({"cron": "30 6 * * MON-FRI"}))]
struct Change {
    /// What its jobs are to work with.
    #[serde(default)]
    arguments: Option<Value>,
    /// When.
    #[serde(default)]
    #[schemars(length(min = 1, max = 200))]
    cron: Option<String>,
    /// In which time zone.
    #[serde(default)]
    #[schemars(length(min = 1, max = 100))]
    time_zone: Option<String>,
    /// Whether a time counts that comes while the job of an earlier one is still open.
    #[serde(default)]
    overlap: Option<bool>,
}

/// A schedule.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "JobSchedule")]
struct Shown {
    /// Its id.
    id: Uuid,
    /// The jobs' kind.
    kind: String,
    /// Their queue.
    queue: String,
    /// What they are to work with.
    arguments: Value,
    /// In whose name they are: the subject of their token.
    actor: String,
    /// When.
    cron: String,
    /// In which time zone.
    time_zone: String,
    /// Whether a time counts that comes while the job of an earlier one is still open.
    overlap: bool,
    /// Whether its times pass.
    paused: bool,
    /// The times that come next, at most five.
    next: Vec<DateTime<Utc>>,
    /// The last time for which a job was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_at: Option<DateTime<Utc>>,
    /// That job.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_job: Option<Uuid>,
    /// How many times passed without a job of their own: the one before was still open, or nobody was there.
    skipped: u64,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// Who changed it last.
    changed_by: String,
    /// When.
    changed_at: DateTime<Utc>,
}

/// Schedules, the first made first.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "JobSchedules")]
struct List {
    /// These.
    schedules: Vec<Shown>,
}

impl From<Schedule> for Shown {
    fn from(one: Schedule) -> Self {
        // From the one that it waits for on: that is in the past for the moment in which it is due.
        let next = one.next_at.map(|at| {
            let mut times = vec![at];
            times.extend(one.next_times(at, SHOWN - 1));
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
    pub(crate) fn new(services: Services) -> Self {
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
    /// The tenant's schedules, the first made first
    ///
    /// Needs the permission `<service>:job:read`.
    #[oai(path = "/v1/jobs/:service/schedules", method = "get", operation_id = "listJobSchedules")]
    async fn list(&self, Authenticated(caller): Authenticated, service: Path<String>) -> Result<Plain<List>, Problem> {
        let schedules = self.services.of(&service.0)?.schedules(&caller).await?;
        Ok(Plain(List { schedules: schedules.into_iter().map(Shown::from).collect() }))
    }

    /// Ask for jobs again and again
    ///
    /// One job is made a time, in the caller's name, however many processes run; one for all times that passed while nobody was
    /// there. Needs the permission `<service>:job:write`, and the one that asking for such a job needs.
    #[oai(path = "/v1/jobs/:service/schedules", method = "post", operation_id = "createJobSchedule")]
    async fn create(&self, service: Path<String>, command: Command<New>) -> Result<NotedNew<Target>, Problem> {
        let jobs = self.services.of(&service.0)?;
        let New { kind, arguments, cron, time_zone, overlap } = command.body;
        let new = NewSchedule { kind, arguments, cron, time_zone, overlap };
        let done = jobs.schedule(&face::job_request(&command.request)?, &new).await?;
        let location = format!("/v1/jobs/{}/schedules/{}", jobs.service(), done.id);
        Ok(noted(done).created(location))
    }

    /// A schedule with the times that come next
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
    /// Jobs that it asked for already stay as they are. Needs the permission `<service>:job:write`, and the one that asking for such
    /// a job needs.
    #[oai(path = "/v1/jobs/:service/schedules/:schedule/change", method = "post", operation_id = "changeJobSchedule")]
    async fn change(
        &self,
        service: Path<String>,
        schedule: Path<Uuid>,
        command: Command<Change>,
    ) -> Result<Noted<Target>, Problem> {
        let jobs = self.services.of(&service.0)?;
        let Change { arguments, cron, time_zone, overlap } = command.body;
        let changes = Changes { arguments, cron, time_zone, overlap };
        let request = face::job_request(&command.request)?;
        Ok(noted(jobs.change_schedule(&request, schedule.0, &changes).await?))
    }

    /// Pause a schedule
    ///
    /// Its times pass. Needs the permission `<service>:job:write`.
    #[oai(path = "/v1/jobs/:service/schedules/:schedule/pause", method = "post", operation_id = "pauseJobSchedule")]
    async fn pause(
        &self,
        service: Path<String>,
        schedule: Path<Uuid>,
        command: Command<Empty>,
    ) -> Result<Noted<Target>, Problem> {
        let jobs = self.services.of(&service.0)?;
        let request = face::job_request(&command.request)?;
        Ok(noted(jobs.pause_schedule(&request, schedule.0).await?))
    }

    /// Let a paused schedule go on
    ///
    /// With the next time that comes: what passed meanwhile is not made up for. Needs the permission `<service>:job:write`.
    #[oai(path = "/v1/jobs/:service/schedules/:schedule/resume", method = "post", operation_id = "resumeJobSchedule")]
    async fn resume(
        &self,
        service: Path<String>,
        schedule: Path<Uuid>,
        command: Command<Empty>,
    ) -> Result<Noted<Target>, Problem> {
        let jobs = self.services.of(&service.0)?;
        let request = face::job_request(&command.request)?;
        Ok(noted(jobs.resume_schedule(&request, schedule.0).await?))
    }

    /// Remove a schedule
    ///
    /// Jobs that it asked for already stay. Needs the permission `<service>:job:write`.
    #[oai(path = "/v1/jobs/:service/schedules/:schedule/remove", method = "post", operation_id = "removeJobSchedule")]
    async fn remove(
        &self,
        service: Path<String>,
        schedule: Path<Uuid>,
        command: Command<Empty>,
    ) -> Result<Noted<Target>, Problem> {
        let jobs = self.services.of(&service.0)?;
        let request = face::job_request(&command.request)?;
        Ok(noted(jobs.remove_schedule(&request, schedule.0).await?))
    }
}

fn utc() -> String {
    "UTC".to_owned()
}
