//! Building a projection anew beside the live one.

use std::time::Duration;

use eventstore::{Database, EventStore};
use kernel::Position;
use sqlx::postgres::PgConnectOptions;

use crate::{Error, Projection};

/// How far a rebuild is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rebuilding {
    /// The position up to which it is built.
    pub position: Position,
    /// The log's head when it began.
    pub head: Position,
}

/// What a rebuild did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rebuilt {
    /// The position that the new tables stand at.
    pub position: Position,
    /// Events of the log that were read.
    pub events: u64,
    /// Events that could not be applied and are parked.
    pub parked_events: u64,
    /// How long it took.
    pub took: Duration,
}

/// Builds a projection anew from the log, beside the live one, which goes on meanwhile; then swaps the two in one transaction.
/// `admin` may create schemas and act as the service's owner. What was parked is tried anew.
pub async fn rebuild(
    _admin: &PgConnectOptions,
    _database: &Database,
    _store: &EventStore,
    _projection: &dyn Projection,
    _on_progress: impl FnMut(Rebuilding) + Send,
) -> Result<Rebuilt, Error> {
    todo!()
}
