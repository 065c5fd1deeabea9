//! Schedules: jobs that are created repeatedly, at the times of a [`Timetable`].

use chrono::{DateTime, Utc};
use kernel::{Caller, Refusal, TenantId};
use serde::Serialize;
use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use crate::jobs::{Opened, unavailable};
use crate::row::from_row;
use crate::{Jobs, Kind, Request, Submitted, Timetable};

/// The maximum number of a tenant's schedules in a service.
const MOST: i64 = 200;

/// A schedule to create.
#[derive(Clone, Debug, PartialEq)]
pub struct NewSchedule {
    /// The kind of its jobs; it must be one that can be submitted by name.
    pub kind: String,
    /// The arguments of its jobs.
    pub arguments: Value,
    /// The cron expression: see [`Timetable`].
    pub cron: String,
    /// The time zone of the cron expression, such as `Europe/Berlin`.
    pub time_zone: String,
    /// Whether a job is also created while that of an earlier time is still open.
    pub overlap: bool,
}

/// A change of a schedule; `None` leaves a member as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    /// See [`NewSchedule`].
    pub arguments: Option<Value>,
    /// See [`NewSchedule`].
    pub cron: Option<String>,
    /// See [`NewSchedule`].
    pub time_zone: Option<String>,
    /// See [`NewSchedule`].
    pub overlap: Option<bool>,
}

/// A schedule.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Schedule {
    /// The schedule's id.
    pub id: Uuid,
    /// The kind of its jobs.
    pub kind: String,
    /// The queue of its jobs.
    pub queue: String,
    /// The arguments of its jobs.
    pub arguments: Value,
    /// The subject in whose name its jobs are.
    pub actor: String,
    /// The cron expression.
    pub cron: String,
    /// The time zone of the cron expression.
    pub time_zone: String,
    /// Whether a job is also created while that of an earlier time is still open.
    pub overlap: bool,
    /// The next time; `None` while it is paused, or if there is none any more.
    pub next_at: Option<DateTime<Utc>>,
    /// The last time for which a job was created.
    pub last_at: Option<DateTime<Utc>>,
    /// The id of that job.
    pub last_job: Option<Uuid>,
    /// The number of times without a job of their own, because the previous job was still open or no process was running.
    pub skipped: i64,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// The subject that changed it last.
    pub changed_by: String,
    /// When it was changed last.
    pub changed_at: DateTime<Utc>,
}

from_row!(Schedule {
    id = schedule_id,
    kind,
    queue,
    arguments,
    actor,
    cron,
    time_zone,
    overlap,
    next_at,
    last_at,
    last_job,
    skipped,
    created_at,
    changed_by,
    changed_at,
});

const COLUMNS: &str =
    "schedule_id, kind, queue, arguments, actor, cron, time_zone, overlap, next_at, last_at, last_job, skipped,
    created_at, changed_by, changed_at";

impl Schedule {
    /// A tenant's schedules, oldest first. Does not check permissions. `tables`: a transaction in which the tenant is set.
    pub async fn list(tables: &mut PgConnection, tenant: TenantId) -> Result<Vec<Self>, sqlx::Error> {
        sqlx::query_as(&format!("SELECT {COLUMNS} FROM jobs.schedules WHERE tenant_id = $1 ORDER BY schedule_id"))
            .bind(tenant.uuid())
            .fetch_all(tables)
            .await
    }

    /// One schedule of a tenant; `None` if there is none with this id. Same preconditions as [`list`](Self::list).
    pub async fn find(tables: &mut PgConnection, tenant: TenantId, id: Uuid) -> Result<Option<Self>, sqlx::Error> {
        sqlx::query_as(&format!("SELECT {COLUMNS} FROM jobs.schedules WHERE tenant_id = $1 AND schedule_id = $2"))
            .bind(tenant.uuid())
            .bind(id)
            .fetch_optional(tables)
            .await
    }

    /// The next times after `now`; empty while it is paused.
    pub fn next_times(&self, now: DateTime<Utc>, count: usize) -> Vec<DateTime<Utc>> {
        if self.next_at.is_none() {
            return Vec::new();
        }
        Timetable::new(&self.cron, &self.time_zone).map(|table| table.next(now, count)).unwrap_or_default()
    }
}

impl Jobs {
    /// Creates a schedule, which starts with its next time.
    ///
    /// # Errors
    /// The permission to change jobs, or to submit this kind, is missing; `job_kind_unknown`; `validation_failed`; `schedules_full`.
    /// Nothing was written then.
    pub async fn schedule(&self, request: &Request, new: &NewSchedule) -> Result<Submitted, Refusal> {
        let inner = &*self.inner;
        request.caller.require(inner.kinds.write)?;
        let offered = inner.kinds.resolve(&request.caller, &new.kind, &new.arguments, "/arguments")?;
        let table = Timetable::new(&new.cron, &new.time_zone).map_err(Refusal::fields)?;
        let (tenant, id) = (request.caller.tenant(), inner.ids.next());
        let mut tables = match self.open_request(request, id).await? {
            Opened::New(transaction) => transaction,
            Opened::Repeated(first) => return Ok(first),
        };
        let (now, count): (DateTime<Utc>, i64) =
            sqlx::query_as("SELECT clock_timestamp(), count(*) FROM jobs.schedules WHERE tenant_id = $1")
                .bind(tenant.uuid())
                .fetch_one(&mut *tables)
                .await
                .map_err(unavailable)?;
        if count >= MOST {
            let detail = format!("there are {count} schedules; allowed are {MOST}: remove one that is not needed");
            return Err(Refusal::conflict("schedules_full", detail));
        }
        sqlx::query(
            "INSERT INTO jobs.schedules (tenant_id, schedule_id, kind, queue, arguments, actor, cron, time_zone, overlap, next_at,
                 created_at, changed_by, changed_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $6, $11)",
        )
        .bind(tenant.uuid())
        .bind(id)
        .bind(offered.kind.name)
        .bind(offered.kind.queue)
        .bind(&offered.arguments)
        .bind(request.caller.subject())
        .bind(&new.cron)
        .bind(&new.time_zone)
        .bind(new.overlap)
        .bind(table.after(now))
        .bind(now)
        .execute(&mut *tables)
        .await
        .map_err(unavailable)?;
        tables.commit().await.map_err(unavailable)?;
        // Runners may have to wake earlier than planned.
        self.wake().await;
        Ok(Submitted { id, repeated: false })
    }

    /// Changes a schedule. Jobs that it created already stay as they are. Its later jobs are in the caller's name.
    ///
    /// # Errors
    /// As for [`schedule`](Self::schedule); `not_found`. Nothing was written then.
    pub async fn change_schedule(&self, request: &Request, id: Uuid, changes: &Changes) -> Result<Submitted, Refusal> {
        self.alter(request, id, |schedule, now| {
            let kinds = &self.inner.kinds;
            let arguments = changes.arguments.as_ref().unwrap_or(&schedule.arguments);
            // The caller becomes responsible for the whole schedule, so their permission for the kind is checked, too.
            let offered = kinds.resolve(&request.caller, &schedule.kind, arguments, "/arguments")?;
            schedule.arguments = offered.arguments;
            schedule.cron = changes.cron.clone().unwrap_or_else(|| std::mem::take(&mut schedule.cron));
            schedule.time_zone = changes.time_zone.clone().unwrap_or_else(|| std::mem::take(&mut schedule.time_zone));
            schedule.overlap = changes.overlap.unwrap_or(schedule.overlap);
            let table = Timetable::new(&schedule.cron, &schedule.time_zone).map_err(Refusal::fields)?;
            if schedule.next_at.is_some() {
                schedule.next_at = table.after(now);
            }
            Ok(())
        })
        .await
    }

    /// Pauses a schedule: no jobs are created. Pausing a paused schedule changes nothing.
    ///
    /// # Errors
    /// The permission is missing; `not_found`. Nothing was written then.
    pub async fn pause_schedule(&self, request: &Request, id: Uuid) -> Result<Submitted, Refusal> {
        self.alter(request, id, |schedule, _| {
            schedule.next_at = None;
            Ok(())
        })
        .await
    }

    /// Resumes a paused schedule with its next time. Times during the pause are skipped.
    ///
    /// # Errors
    /// A permission is missing (to change jobs, or the one that submitting such a job needs); `not_found`. Nothing was written then.
    pub async fn resume_schedule(&self, request: &Request, id: Uuid) -> Result<Submitted, Refusal> {
        self.alter(request, id, |schedule, now| {
            if schedule.next_at.is_none() {
                if let Some(permission) = self.inner.kinds.find(&schedule.kind).and_then(Kind::to_retry) {
                    request.caller.require(permission)?;
                }
                let table = Timetable::new(&schedule.cron, &schedule.time_zone).map_err(Refusal::fields)?;
                schedule.next_at = table.after(now);
            }
            Ok(())
        })
        .await
    }

    /// Removes a schedule. Jobs that it created already stay.
    ///
    /// # Errors
    /// The permission is missing; `not_found`. Nothing was written then.
    pub async fn remove_schedule(&self, request: &Request, id: Uuid) -> Result<Submitted, Refusal> {
        request.caller.require(self.inner.kinds.write)?;
        let mut tables = match self.open_request(request, id).await? {
            Opened::New(transaction) => transaction,
            Opened::Repeated(first) => return Ok(first),
        };
        let removed = sqlx::query("DELETE FROM jobs.schedules WHERE tenant_id = $1 AND schedule_id = $2")
            .bind(request.caller.tenant().uuid())
            .bind(id)
            .execute(&mut *tables)
            .await
            .map_err(unavailable)?;
        if removed.rows_affected() == 0 {
            return Err(unknown(id));
        }
        tables.commit().await.map_err(unavailable)?;
        Ok(Submitted { id, repeated: false })
    }

    /// The schedules of the caller's tenant, oldest first.
    ///
    /// # Errors
    /// The permission to view jobs is missing; the database does not answer.
    pub async fn schedules(&self, caller: &Caller) -> Result<Vec<Schedule>, Refusal> {
        caller.require(self.inner.kinds.read)?;
        let mut tables = self.begin(caller.tenant()).await?;
        Schedule::list(&mut tables, caller.tenant()).await.map_err(unavailable)
    }

    /// One schedule of the caller's tenant.
    ///
    /// # Errors
    /// The permission to view jobs is missing; `not_found`; the database does not answer.
    pub async fn find_schedule(&self, caller: &Caller, id: Uuid) -> Result<Schedule, Refusal> {
        caller.require(self.inner.kinds.read)?;
        let mut tables = self.begin(caller.tenant()).await?;
        let found = Schedule::find(&mut tables, caller.tenant(), id).await.map_err(unavailable)?;
        found.ok_or_else(|| unknown(id))
    }

    /// Changes a schedule while its row is locked. `change` gets the schedule and the database's time.
    async fn alter(
        &self,
        request: &Request,
        id: Uuid,
        change: impl FnOnce(&mut Schedule, DateTime<Utc>) -> Result<(), Refusal>,
    ) -> Result<Submitted, Refusal> {
        request.caller.require(self.inner.kinds.write)?;
        let tenant = request.caller.tenant();
        let mut tables = match self.open_request(request, id).await? {
            Opened::New(transaction) => transaction,
            Opened::Repeated(first) => return Ok(first),
        };
        let row: Option<PgRow> = sqlx::query(&format!(
            "SELECT {COLUMNS}, clock_timestamp() AS now FROM jobs.schedules
             WHERE tenant_id = $1 AND schedule_id = $2 FOR UPDATE"
        ))
        .bind(tenant.uuid())
        .bind(id)
        .fetch_optional(&mut *tables)
        .await
        .map_err(unavailable)?;
        let row = row.ok_or_else(|| unknown(id))?;
        let mut schedule = Schedule::from_row(&row).map_err(unavailable)?;
        let now = sqlx::Row::try_get(&row, "now").map_err(unavailable)?;
        change(&mut schedule, now)?;
        sqlx::query(
            "UPDATE jobs.schedules
             SET arguments = $3, cron = $4, time_zone = $5, overlap = $6, next_at = $7, changed_by = $8, changed_at = $9
             WHERE tenant_id = $1 AND schedule_id = $2",
        )
        .bind(tenant.uuid())
        .bind(id)
        .bind(&schedule.arguments)
        .bind(&schedule.cron)
        .bind(&schedule.time_zone)
        .bind(schedule.overlap)
        .bind(schedule.next_at)
        .bind(request.caller.subject())
        .bind(now)
        .execute(&mut *tables)
        .await
        .map_err(unavailable)?;
        tables.commit().await.map_err(unavailable)?;
        self.wake().await;
        Ok(Submitted { id, repeated: false })
    }
}

fn unknown(id: Uuid) -> Refusal {
    Refusal::absent("schedule", id)
}
