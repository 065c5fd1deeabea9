//! A queue in GraphQL.

use chrono::{DateTime, Utc};
use face::graphql::{BigInt, Context, int};
use jobs::Queue;
use juniper::GraphQLObject;
use kernel::Service;

/// A queue as the tenant has it.
#[derive(Clone, Debug, GraphQLObject)]
#[graphql(context = Context)]
pub struct JobQueue {
    /// The service whose it is.
    service: String,
    /// Its name.
    name: String,
    /// Since when nothing begins there.
    paused_at: Option<DateTime<Utc>>,
    /// At most so many run at the same time; null: as many as there is room for.
    concurrency: Option<i32>,
    /// At most so many begin …
    rate_count: Option<i32>,
    /// … in so many seconds; null: as many as there is room for.
    rate_seconds: Option<i32>,
    /// How many jobs wait.
    waiting: BigInt,
    /// How many run.
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
