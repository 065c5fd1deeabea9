//! A batch of jobs in GraphQL.

use chrono::{DateTime, Utc};
use face::graphql::Context;
use jobs::Batch;
use juniper::GraphQLObject;
use kernel::Service;
use uuid::Uuid;

/// A batch: jobs that were created together.
#[derive(Clone, Debug, GraphQLObject)]
#[graphql(context = Context)]
pub struct JobBatch {
    /// The service to which the batch belongs.
    service: String,
    /// The batch's id.
    id: Uuid,
    /// The requester: the subject of their token.
    actor: String,
    /// Number of jobs in the batch.
    total: i32,
    /// Number of jobs that completed.
    completed: i32,
    /// Number of jobs that were cancelled.
    cancelled: i32,
    /// Number of jobs that failed permanently.
    discarded: i32,
    /// The follow-up job, which is created when all jobs of the batch have finished.
    then: Option<Uuid>,
    /// When the batch was created.
    created_at: DateTime<Utc>,
    /// When the last of its jobs finished.
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
