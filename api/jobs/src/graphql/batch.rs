//! A batch of jobs in GraphQL.

use chrono::{DateTime, Utc};
use face::graphql::Context;
use jobs::Batch;
use juniper::GraphQLObject;
use kernel::Service;
use uuid::Uuid;

/// Jobs that belong together.
#[derive(Clone, Debug, GraphQLObject)]
#[graphql(context = Context)]
pub struct JobBatch {
    /// The service whose it is.
    service: String,
    /// Its id.
    id: Uuid,
    /// In whose name.
    actor: String,
    /// How many jobs it has.
    total: i32,
    /// How many of them are done.
    completed: i32,
    /// How many were cancelled.
    cancelled: i32,
    /// How many failed for good.
    discarded: i32,
    /// The job that is asked for when all of them are over.
    then: Option<Uuid>,
    /// When it was asked for.
    created_at: DateTime<Utc>,
    /// When the last of its jobs was over.
    finished_at: Option<DateTime<Utc>>,
}

impl JobBatch {
    pub(super) fn of(service: Service, one: Batch) -> Self {
        Self {
            service: service.name().to_owned(),
            id: one.id,
            actor: one.actor,
            total: one.total,
            completed: one.completed,
            cancelled: one.cancelled,
            discarded: one.discarded,
            then: one.then,
            created_at: one.created_at,
            finished_at: one.finished_at,
        }
    }
}
