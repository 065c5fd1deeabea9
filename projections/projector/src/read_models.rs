//! How queries read: as one tenant, in one read-only transaction, and not before what the caller wrote is there.

use std::time::Duration;

use eventstore::Database;
use kernel::{Position, TenantId};

use crate::{Error, Progress, Projection};
use std::sync::Arc;

/// A read-only transaction as one tenant; the service's tables are on its search path.
pub type Transaction = sqlx::Transaction<'static, sqlx::Postgres>;

/// A service's read models. Cheap to clone.
#[derive(Clone)]
pub struct ReadModels {}

/// The read models have not reached a position in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the read models are at position {reached}, not yet at {wanted}")]
pub struct Behind {
    /// The position that was asked for.
    pub wanted: Position,
    /// The position that all projections have reached.
    pub reached: Position,
}

/// How one projection is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectionStatus {
    /// Its name.
    pub name: String,
    /// The version that its tables have.
    pub version: u32,
    /// The last position that is applied.
    pub position: Position,
    /// Events of the log that are not applied yet.
    pub lag: u64,
    /// Events that wait for a rebuild because they, or an earlier one of their aggregate, can't be applied.
    pub parked_events: u64,
    /// Aggregates with parked events.
    pub parked_aggregates: u64,
    /// What it is doing.
    pub state: ProjectionState,
}

/// What a projection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProjectionState {
    /// It follows the log.
    Live,
    /// It follows, and events are parked.
    Parked,
    /// Its tables are of another version than the program: rebuild it.
    NeedsRebuild,
    /// Its tables were never made: migrate.
    Missing,
}

impl ProjectionState {
    /// The state's name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Parked => "parked",
            Self::NeedsRebuild => "needs_rebuild",
            Self::Missing => "missing",
        }
    }
}

impl ReadModels {
    /// The read models of a service. With the `progress` of a projector in the same process, waiting asks no database.
    pub fn new(_database: &Database, _projections: &[Arc<dyn Projection>], _progress: Option<Progress>) -> Self {
        todo!()
    }

    /// Begins a read-only transaction as `tenant`, on one snapshot.
    pub async fn begin(&self, _tenant: TenantId) -> Result<Transaction, Error> {
        todo!()
    }

    /// Waits until every projection has applied everything up to `position`.
    pub async fn wait_for(&self, _position: Position, _timeout: Duration) -> Result<(), Behind> {
        todo!()
    }

    /// How the projections are doing.
    pub async fn status(&self) -> Result<Vec<ProjectionStatus>, Error> {
        todo!()
    }
}
