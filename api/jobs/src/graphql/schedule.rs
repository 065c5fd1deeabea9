//! A schedule in GraphQL.

use chrono::{DateTime, Utc};
use face::MOST_OF_A_PAGE;
use face::graphql::{BigInt, Context, few};
use jobs::Schedule;
use juniper::{FieldResult, graphql_object};
use kernel::Service;
use uuid::Uuid;

/// What asks for jobs again and again.
pub struct ScheduleRow {
    pub(super) service: Service,
    pub(super) schedule: Schedule,
}

/// What asks for jobs again and again.
#[graphql_object(context = Context, name = "JobSchedule")]
impl ScheduleRow {
    /// The service whose it is.
    fn service(&self) -> &str {
        self.service.name()
    }

    /// Its id.
    fn id(&self) -> Uuid {
        self.schedule.id
    }

    /// The jobs' kind.
    fn kind(&self) -> &str {
        &self.schedule.kind
    }

    /// What they are to work with, as JSON.
    fn arguments(&self) -> String {
        self.schedule.arguments.to_string()
    }

    /// In whose name they are.
    fn actor(&self) -> &str {
        &self.schedule.actor
    }

    /// When: a cron expression.
    fn cron(&self) -> &str {
        &self.schedule.cron
    }

    /// In which time zone.
    fn time_zone(&self) -> &str {
        &self.schedule.time_zone
    }

    /// Whether a time counts that comes while the job of an earlier one is still open.
    fn overlap(&self) -> bool {
        self.schedule.overlap
    }

    /// Whether its times pass.
    fn paused(&self) -> bool {
        self.schedule.next_at.is_none()
    }

    /// The times that come next, at most 200.
    fn next(&self, #[graphql(default = 5)] first: Option<i32>) -> FieldResult<Vec<DateTime<Utc>>> {
        let count = usize::try_from(few(first, 5, MOST_OF_A_PAGE)?).unwrap_or(usize::MAX);
        let Some(at) = self.schedule.next_at else { return Ok(Vec::new()) };
        let mut times = vec![at];
        times.extend(self.schedule.next_times(at, count - 1));
        Ok(times)
    }

    /// The last time for which a job was made.
    fn last_at(&self) -> Option<DateTime<Utc>> {
        self.schedule.last_at
    }

    /// That job.
    fn last_job(&self) -> Option<Uuid> {
        self.schedule.last_job
    }

    /// How many times passed without a job of their own.
    fn skipped(&self) -> BigInt {
        BigInt(self.schedule.skipped.into())
    }
}
