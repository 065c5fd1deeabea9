//! Rebuilding a projection from the log, beside the live one.

use std::time::{Duration, Instant};

use eventstore::{Database, EventStore};
use kernel::Position;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, Executor};

use crate::build::{Build, END};
use crate::{Error, Projection, migrate, swap, tables};

/// How often the tables are built before the rebuild is given up, if operators keep deciding about dead letters meanwhile.
const ATTEMPTS: u32 = 3;

/// The progress of a rebuild.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rebuilding {
    /// The position up to which it is built.
    pub position: Position,
    /// The position of the log's last event when the build began.
    pub head: Position,
}

/// The result of a rebuild.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rebuilt {
    /// The checkpoint of the new tables.
    pub position: Position,
    /// Events of the log that were read.
    pub events: u64,
    /// Events that could not be applied and are parked.
    pub parked_events: u64,
    /// How long it took.
    pub took: Duration,
}

/// Builds a projection anew from the log, while the live one continues, then swaps the two in one transaction. Parked events are tried
/// again. Operators' decisions about dead letters (edits, discards) are respected; when one is made during the build, it starts over, at
/// most three times. `admin` connects to any database of the cluster and may act as the service's owner.
///
/// A rebuild that is interrupted leaves the live tables as they are; the next one starts from the beginning.
pub async fn rebuild(
    admin: &PgConnectOptions,
    database: &Database,
    store: &EventStore,
    projection: &dyn Projection,
    mut on_progress: impl FnMut(Rebuilding) + Send,
) -> Result<Rebuilt, Error> {
    let began = Instant::now();
    let mut connection = migrate::connect(admin, database).await?;
    let schema = tables::shadow_schema(database, projection, "rebuild");
    let mut attempts = 1..=ATTEMPTS;
    let build = loop {
        let mut build = Build::begin(&mut connection, database, projection, schema.clone()).await?;
        let head = store.head().await?;
        build.fill(&mut connection, store, END, |position| on_progress(Rebuilding { position, head })).await?;
        attempts.next();
        match swap::swap(&mut connection, database, store, &mut build).await {
            Ok(()) => break build,
            Err(Error::Decided { .. }) if !attempts.is_empty() => {
                tracing::info!(
                    projection = projection.name(),
                    "somebody decided about a dead letter; it is built once more"
                );
            }
            Err(error) => return Err(error),
        }
    };
    connection.execute(format!("DROP SCHEMA {} CASCADE", build.schema).as_str()).await?;
    connection.close().await?;
    Ok(Rebuilt {
        position: build.position,
        events: build.events,
        parked_events: build.parked.events(),
        took: began.elapsed(),
    })
}
