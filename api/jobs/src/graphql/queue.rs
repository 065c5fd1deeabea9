//! A queue in GraphQL.

use chrono::{DateTime, Utc};
use face::graphql::{BigInt, Context, int};
use jobs::Queue;
use juniper::GraphQLObject;
use kernel::Service;

/// A job queue, with the tenant's own limits and counts.
#[derive(Clone, Debug, GraphQLObject)]
#[graphql(context = Context)]
pub struct JobQueue {
    /// The service to which the queue belongs.
    service: String,
    /// The queue's name.
    name: String,
    /// Since when the queue is paused; no job starts meanwhile.
    paused_at: Option<DateTime<Utc>>,
    /// Maximum number of jobs that run at the same time; null: not limited by the tenant.
    concurrency: Option<i32>,
    /// Maximum number of jobs that start per `rateSeconds`; null: not limited by the tenant.
    rate_count: Option<i32>,
    /// Length of that period in seconds; null: not limited by the tenant.
    rate_seconds: Option<i32>,
    /// Number of the tenant's jobs that wait.
    waiting: BigInt,
    /// Number of the tenant's jobs that run.
    running: i32,
}

impl JobQueue {
    pub(super) fn of(service: Service, one: Queue) -> Self {
        let rate = one.limits.rate;
        Self {
            service: service.name().to_owned(),
            name: one.name,
            paused_at: one.paused_at,
            concurrency: one.limits.concurrency.map(|count| int(count.into())),
            rate_count: rate.map(|rate| int(rate.count.into())),
            rate_seconds: rate.map(|rate| int(rate.seconds.into())),
            waiting: BigInt(one.waiting.into()),
            running: int(i64::try_from(one.running).unwrap_or(i64::MAX)),
        }
    }
}
