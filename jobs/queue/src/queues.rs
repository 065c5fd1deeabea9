//! Queues: pausing them, and limiting how many of their jobs run.

use chrono::{DateTime, Utc};
use kernel::{Caller, Checks, Refusal, TenantId};
use serde::Serialize;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::jobs::{Opened, unavailable};
use crate::row::from_row;
use crate::{JobNames, Jobs, Kinds, Request};

/// The tenant id under which limits for all tenants together are stored. No tenant has it.
const ALL_TENANTS: Uuid = Uuid::nil();

/// A rate limit: how many jobs may start in a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Rate {
    /// The number of jobs, 1 to 100,000.
    pub count: u32,
    /// The time in seconds, 1 to 86,400. Starts are spread evenly: one each `seconds / count`.
    pub seconds: u32,
}

/// The limits of a queue; `None`: no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// The maximum number of jobs that run concurrently, 1 to 1,000.
    pub concurrency: Option<u32>,
    /// The maximum rate of starts.
    pub rate: Option<Rate>,
}

/// A queue of one tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Queue {
    /// The queue's name.
    pub name: String,
    /// Since when it is paused.
    pub paused_at: Option<DateTime<Utc>>,
    /// The tenant's own limits.
    pub limits: Limits,
    /// The subject that changed it last.
    pub changed_by: Option<String>,
    /// When it was changed last.
    pub changed_at: Option<DateTime<Utc>>,
    /// The number of waiting jobs.
    pub waiting: u64,
    /// The number of running jobs.
    pub running: u64,
}

struct Row {
    queue: String,
    paused_at: Option<DateTime<Utc>>,
    concurrency: Option<i32>,
    rate_count: Option<i32>,
    rate_seconds: Option<i32>,
    changed_by: String,
    changed_at: DateTime<Utc>,
}

from_row!(Row { queue, paused_at, concurrency, rate_count, rate_seconds, changed_by, changed_at });

impl Queue {
    /// A tenant's queues, by name, including those without settings. Does not check permissions. `tables`: a transaction in which the
    /// tenant is set.
    pub async fn list(tables: &mut PgConnection, tenant: TenantId, kinds: &[&str]) -> Result<Vec<Self>, sqlx::Error> {
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT queue, paused_at, concurrency, rate_count, rate_seconds, changed_by, changed_at
             FROM jobs.queues WHERE tenant_id = $1",
        )
        .bind(tenant.uuid())
        .fetch_all(&mut *tables)
        .await?;
        // Counts only open jobs, from their indexes.
        let counted: Vec<(String, i64, i64)> = sqlx::query_as(
            "SELECT queue, sum(waiting)::bigint, sum(running)::bigint FROM (
                 SELECT queue, count(*) AS waiting, 0 AS running FROM jobs.jobs
                 WHERE tenant_id = $1 AND state = 'waiting' GROUP BY queue
                 UNION ALL
                 SELECT queue, 0, count(*) FROM jobs.jobs WHERE tenant_id = $1 AND state = 'running' GROUP BY queue
             ) c GROUP BY queue",
        )
        .bind(tenant.uuid())
        .fetch_all(tables)
        .await?;
        let mut names: Vec<&str> = kinds.to_vec();
        names.extend(rows.iter().map(|row| row.queue.as_str()).chain(counted.iter().map(|(queue, ..)| queue.as_str())));
        names.sort_unstable();
        names.dedup();
        let queue = |name: &str| {
            let row = rows.iter().find(|row| row.queue == name);
            let (_, waiting, running) = counted.iter().find(|(queue, ..)| queue == name).cloned().unwrap_or_default();
            let rate = row.and_then(|row| Some((row.rate_count?, row.rate_seconds?)));
            Self {
                name: name.to_owned(),
                paused_at: row.and_then(|row| row.paused_at),
                limits: Limits {
                    concurrency: row.and_then(|row| row.concurrency).map(i32::cast_unsigned),
                    rate: rate.map(|(count, seconds)| Rate {
                        count: count.cast_unsigned(),
                        seconds: seconds.cast_unsigned(),
                    }),
                },
                changed_by: row.map(|row| row.changed_by.clone()),
                changed_at: row.map(|row| row.changed_at),
                waiting: waiting.cast_unsigned(),
                running: running.cast_unsigned(),
            }
        };
        Ok(names.into_iter().map(queue).collect())
    }
}

/// An operator's action on a queue.
#[derive(Clone, Copy)]
enum QueueAction {
    Pause,
    Resume,
    Limit(Limits),
}

impl Jobs {
    /// The queues of the caller's tenant.
    ///
    /// # Errors
    /// The permission to view jobs is missing; the database does not answer.
    pub async fn queues(&self, caller: &Caller) -> Result<Vec<Queue>, Refusal> {
        caller.require(self.inner.kinds.read)?;
        let mut tables = self.begin(caller.tenant()).await?;
        Queue::list(&mut tables, caller.tenant(), &self.inner.kinds.queues()).await.map_err(unavailable)
    }

    /// Pauses a queue of the caller's tenant: no job starts, running jobs continue, new ones wait. Returns true if the same request was
    /// accepted before.
    ///
    /// # Errors
    /// A permission is missing (to change jobs, or one that [guards](crate::Kind::guarded) a job of the queue); `not_found`: there is no such
    /// queue. Nothing was written then.
    pub async fn pause_queue(&self, request: &Request, queue: &str) -> Result<bool, Refusal> {
        self.change_queue(request, queue, QueueAction::Pause).await
    }

    /// Resumes a paused queue.
    ///
    /// # Errors
    /// As for [`pause_queue`](Self::pause_queue), but the permission to change jobs suffices.
    pub async fn resume_queue(&self, request: &Request, queue: &str) -> Result<bool, Refusal> {
        self.change_queue(request, queue, QueueAction::Resume).await
    }

    /// Limits a queue of the caller's tenant. The limits for all tenants together apply, too.
    ///
    /// # Errors
    /// As for [`pause_queue`](Self::pause_queue); `validation_failed`.
    pub async fn limit_queue(&self, request: &Request, queue: &str, limits: Limits) -> Result<bool, Refusal> {
        check(limits)?;
        self.change_queue(request, queue, QueueAction::Limit(limits)).await
    }

    /// Pauses a queue for all tenants; for operators. `by` is recorded.
    ///
    /// # Errors
    /// `not_found`; the database does not answer. Nothing was written then.
    pub async fn pause_queue_of_all(&self, queue: &str, by: &str) -> Result<(), Refusal> {
        self.change_queue_of_all(queue, QueueAction::Pause, by).await
    }

    /// Resumes a queue for all tenants.
    ///
    /// # Errors
    /// As for [`pause_queue_of_all`](Self::pause_queue_of_all).
    pub async fn resume_queue_of_all(&self, queue: &str, by: &str) -> Result<(), Refusal> {
        self.change_queue_of_all(queue, QueueAction::Resume, by).await
    }

    /// Limits a queue for all tenants together.
    ///
    /// # Errors
    /// As for [`pause_queue_of_all`](Self::pause_queue_of_all); `validation_failed`.
    pub async fn limit_queue_of_all(&self, queue: &str, limits: Limits, by: &str) -> Result<(), Refusal> {
        check(limits)?;
        self.change_queue_of_all(queue, QueueAction::Limit(limits), by).await
    }

    async fn change_queue(&self, request: &Request, queue: &str, action: QueueAction) -> Result<bool, Refusal> {
        let inner = &*self.inner;
        request.caller.require(inner.kinds.write)?;
        known(&inner.kinds, queue)?;
        if !matches!(action, QueueAction::Resume) {
            inner.kinds.to_hold_up(queue).try_for_each(|permission| request.caller.require(permission))?;
        }
        // A queue has no id, so the nil UUID is recorded.
        let mut tables = match self.open_request(request, Uuid::nil()).await? {
            Opened::New(transaction) => transaction,
            Opened::Repeated(_) => return Ok(true),
        };
        let (tenant, by) = (request.caller.tenant().uuid(), request.caller.subject());
        write(&mut tables, tenant, queue, action, by, inner.clock.now()).await.map_err(unavailable)?;
        tables.commit().await.map_err(unavailable)?;
        self.wake().await;
        Ok(false)
    }

    async fn change_queue_of_all(&self, queue: &str, action: QueueAction, by: &str) -> Result<(), Refusal> {
        let inner = &*self.inner;
        known(&inner.kinds, queue)?;
        let mut tables = inner.work.acquire().await.map_err(unavailable)?;
        write(&mut tables, ALL_TENANTS, queue, action, by, inner.clock.now()).await.map_err(unavailable)?;
        self.wake().await;
        Ok(())
    }
}

async fn write(
    tables: &mut PgConnection,
    tenant: Uuid,
    queue: &str,
    action: QueueAction,
    by: &str,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let set = match action {
        QueueAction::Pause => "paused_at = coalesce(queues.paused_at, EXCLUDED.paused_at)",
        QueueAction::Resume => "paused_at = NULL",
        QueueAction::Limit(_) => {
            "concurrency = EXCLUDED.concurrency, rate_count = EXCLUDED.rate_count, rate_seconds = EXCLUDED.rate_seconds,
             ready_at = NULL"
        }
    };
    let limits = if let QueueAction::Limit(limits) = action { limits } else { Limits::default() };
    sqlx::query(&format!(
        "INSERT INTO jobs.queues (tenant_id, queue, paused_at, concurrency, rate_count, rate_seconds, changed_by, changed_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (tenant_id, queue) DO UPDATE SET {set}, changed_by = EXCLUDED.changed_by, changed_at = EXCLUDED.changed_at"
    ))
    .bind(tenant)
    .bind(queue)
    .bind(matches!(action, QueueAction::Pause).then_some(now))
    .bind(limits.concurrency.map(u32::cast_signed))
    .bind(limits.rate.map(|rate| rate.count.cast_signed()))
    .bind(limits.rate.map(|rate| rate.seconds.cast_signed()))
    .bind(by)
    .bind(now)
    .execute(tables)
    .await
    .map(drop)
}

fn known(kinds: &Kinds, queue: &str) -> Result<(), Refusal> {
    if kinds.queues().contains(&queue) {
        return Ok(());
    }
    Err(Refusal::not_found("not_found", JobNames::from(kinds).no_queue(queue)).with("resource", "queue"))
}

/// The highest limit of concurrent jobs that can be set.
pub const MOST_TOGETHER: u32 = 1_000;

fn check(limits: Limits) -> Result<(), Refusal> {
    let mut checks = Checks::default();
    let mut within = |pointer: &str, number: u32, most: u32| {
        if !(1..=most).contains(&number) {
            checks.refuse(pointer, "out_of_range", format!("{number} is not allowed; allowed is 1 to {most}"));
        }
    };
    if let Some(concurrency) = limits.concurrency {
        within("/concurrency", concurrency, MOST_TOGETHER);
    }
    if let Some(Rate { count, seconds }) = limits.rate {
        within("/rate/count", count, 100_000);
        within("/rate/seconds", seconds, 86_400);
    }
    checks.finish()
}
