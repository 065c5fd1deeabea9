//! A schedule in GraphQL.

use chrono::{DateTime, Utc};
use face::MOST_OF_A_PAGE;
use face::graphql::{BigInt, Context, page_size};
use jobs::Schedule;
use juniper::{FieldResult, graphql_object};
use kernel::Service;
use uuid::Uuid;

/// A schedule, which creates jobs at recurring times.
pub struct ScheduleRow {
    pub(super) service: Service,
    pub(super) schedule: Schedule,
}

/// A schedule, which creates jobs at recurring times.
#[graphql_object(context = Context, name = "JobSchedule")]
impl ScheduleRow {
    /// The service to which the schedule belongs.
    fn service(&self) -> &str {
        self.service.name()
    }

    /// The schedule's id.
    fn id(&self) -> Uuid {
        self.schedule.id
    }

    /// The kind of the jobs.
    fn kind(&self) -> &str {
        &self.schedule.kind
    }

    /// The arguments of the jobs, as JSON.
    fn arguments(&self) -> String {
        self.schedule.arguments.to_string()
    }

    /// The requester of the jobs: the subject of their token.
    fn actor(&self) -> &str {
        &self.schedule.actor
    }

    /// The times, as a cron expression.
    fn cron(&self) -> &str {
        &self.schedule.cron
    }

    /// The IANA time zone of the cron expression.
    fn time_zone(&self) -> &str {
        &self.schedule.time_zone
    }

    /// Whether a job is created while the one of an earlier time is still open.
    fn overlap(&self) -> bool {
        self.schedule.overlap
    }

    /// Whether the schedule creates no jobs: it is paused, or no time is left.
    fn paused(&self) -> bool {
        self.schedule.next_at.is_none()
    }

    /// The next times, at most 200.
    fn next(&self, #[graphql(default = 5)] first: Option<i32>) -> FieldResult<Vec<DateTime<Utc>>> {
        let count = usize::try_from(page_size(first, 5, MOST_OF_A_PAGE)?).unwrap_or(usize::MAX);
        let Some(at) = self.schedule.next_at else { return Ok(Vec::new()) };
        let mut times = vec![at];
        times.extend(self.schedule.next_times(at, count - 1));
        Ok(times)
    }

    /// The last time for which a job was created.
    fn last_at(&self) -> Option<DateTime<Utc>> {
        self.schedule.last_at
    }

    /// The last job that was created.
    fn last_job(&self) -> Option<Uuid> {
        self.schedule.last_job
    }

    /// Number of times that passed without a job of their own.
    fn skipped(&self) -> BigInt {
        BigInt(self.schedule.skipped.into())
    }
}
