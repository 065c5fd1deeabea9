//! Schedules: jobs that are asked for again and again, at the times of a [`Timetable`].

use chrono::{DateTime, Utc};
use kernel::{Caller, Refusal, TenantId};
use serde::Serialize;
use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use crate::jobs::{Opened, unavailable};
use crate::row::from_row;
use crate::{Jobs, Request, Submitted, Timetable};

/// The most schedules of a tenant in a service.
const MOST: i64 = 200;

/// A schedule that is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct NewSchedule {
    /// The jobs' kind: one that may be asked for by name.
    pub kind: String,
    /// What they are to work with.
    pub arguments: Value,
    /// When: see [`Timetable`].
    pub cron: String,
    /// In which time zone, such as `Europe/Berlin`.
    pub time_zone: String,
    /// Whether a time counts that comes while the job of an earlier one is still open.
    pub overlap: bool,
}

/// What of a schedule is changed; none: it stays.
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
    /// Its id.
    pub id: Uuid,
    /// The jobs' kind.
    pub kind: String,
    /// Their queue.
    pub queue: String,
    /// What they are to work with.
    pub arguments: Value,
    /// In whose name they are.
    pub actor: String,
    /// When.
    pub cron: String,
    /// In which time zone.
    pub time_zone: String,
    /// Whether a time counts that comes while the job of an earlier one is still open.
    pub overlap: bool,
    /// The time that comes next; none: it is paused, or there is none any more.
    pub next_at: Option<DateTime<Utc>>,
    /// The last time for which a job was made.
    pub last_at: Option<DateTime<Utc>>,
    /// That job.
    pub last_job: Option<Uuid>,
    /// How many times passed without a job of their own: the one before was still open, or nobody was there.
    pub skipped: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Who changed it last.
    pub changed_by: String,
    /// When.
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
    /// A tenant's schedules, the first made first; for whoever may see them. `tables`: a transaction in which the tenant is set.
    pub async fn list(tables: &mut PgConnection, tenant: TenantId) -> Result<Vec<Self>, sqlx::Error> {
        sqlx::query_as(&format!("SELECT {COLUMNS} FROM jobs.schedules WHERE tenant_id = $1 ORDER BY schedule_id"))
            .bind(tenant.uuid())
            .fetch_all(tables)
            .await
    }

    /// One of them; none: there is none with this id.
    pub async fn find(tables: &mut PgConnection, tenant: TenantId, id: Uuid) -> Result<Option<Self>, sqlx::Error> {
        sqlx::query_as(&format!("SELECT {COLUMNS} FROM jobs.schedules WHERE tenant_id = $1 AND schedule_id = $2"))
            .bind(tenant.uuid())
            .bind(id)
            .fetch_optional(tables)
            .await
    }

    /// Its next times, after `now`; none while it is paused.
    pub fn next_times(&self, now: DateTime<Utc>, count: usize) -> Vec<DateTime<Utc>> {
        if self.next_at.is_none() {
            return Vec::new();
        }
        Timetable::new(&self.cron, &self.time_zone).map(|table| table.next(now, count)).unwrap_or_default()
    }
}

impl Jobs {
    /// Makes a schedule: from its next time on.
    ///
    /// # Errors
    /// Without the permission to change jobs, or to ask for this kind; `job_kind_unknown`; `validation_failed`; `schedules_full`. Nothing
    /// was written then.
    pub async fn schedule(&self, request: &Request, new: &NewSchedule) -> Result<Submitted, Refusal> {
        let inner = &*self.inner;
        request.caller.require(inner.kinds.write)?;
        let offered = inner.kinds.ask(&request.caller, &new.kind, &new.arguments, "/arguments")?;
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
        // Its time may come before anything else that a runner sleeps for.
        self.wake().await;
        Ok(Submitted { id, repeated: false })
    }

    /// Changes a schedule. Jobs that it asked for already stay as they are; from now on they are in the caller's name.
    ///
    /// # Errors
    /// As for [`schedule`](Self::schedule); `not_found`. Nothing was written then.
    pub async fn change_schedule(&self, request: &Request, id: Uuid, changes: &Changes) -> Result<Submitted, Refusal> {
        self.alter(request, id, |schedule, now| {
            let kinds = &self.inner.kinds;
            let arguments = changes.arguments.as_ref().unwrap_or(&schedule.arguments);
            // Whoever changes it answers for all of it.
            let offered = kinds.ask(&request.caller, &schedule.kind, arguments, "/arguments")?;
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

    /// Pauses a schedule: its times pass. Pausing one that is paused changes nothing.
    ///
    /// # Errors
    /// Without the permission; `not_found`. Nothing was written then.
    pub async fn pause_schedule(&self, request: &Request, id: Uuid) -> Result<Submitted, Refusal> {
        self.alter(request, id, |schedule, _| {
            schedule.next_at = None;
            Ok(())
        })
        .await
    }

    /// Lets a paused schedule go on with the next time that comes: what passed meanwhile is not made up for.
    ///
    /// # Errors
    /// Without the permission; `not_found`. Nothing was written then.
    pub async fn resume_schedule(&self, request: &Request, id: Uuid) -> Result<Submitted, Refusal> {
        self.alter(request, id, |schedule, now| {
            if schedule.next_at.is_none() {
                let table = Timetable::new(&schedule.cron, &schedule.time_zone).map_err(Refusal::fields)?;
                schedule.next_at = table.after(now);
            }
            Ok(())
        })
        .await
    }

    /// Removes a schedule. Jobs that it asked for already stay.
    ///
    /// # Errors
    /// Without the permission; `not_found`. Nothing was written then.
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

    /// The schedules of the caller's tenant, the first made first.
    ///
    /// # Errors
    /// Without the permission to see jobs; when the database does not answer.
    pub async fn schedules(&self, caller: &Caller) -> Result<Vec<Schedule>, Refusal> {
        caller.require(self.inner.kinds.read)?;
        let mut tables = self.begin(caller.tenant()).await?;
        Schedule::list(&mut tables, caller.tenant()).await.map_err(unavailable)
    }

    /// One of them.
    ///
    /// # Errors
    /// Without the permission to see jobs; `not_found`; when the database does not answer.
    pub async fn find_schedule(&self, caller: &Caller, id: Uuid) -> Result<Schedule, Refusal> {
        caller.require(self.inner.kinds.read)?;
        let mut tables = self.begin(caller.tenant()).await?;
        let found = Schedule::find(&mut tables, caller.tenant(), id).await.map_err(unavailable)?;
        found.ok_or_else(|| unknown(id))
    }

    /// Changes a schedule under its lock; `change` also gets the server's time.
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
    Refusal::not_found("not_found", format!("there is no schedule {id}")).with("resource", "schedule")
}
