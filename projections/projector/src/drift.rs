//! Whether a projection's live tables are what the log says: it is built beside them, as of one position, and each row compared.

use std::time::{Duration, Instant};

use eventstore::{Database, EventStore};
use kernel::Position;
use serde_json::{Map, Value};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, Executor, PgConnection};

use crate::build::Build;
use crate::checkpoint::Checkpoint;
use crate::compare::Comparison;
use crate::partition::Reached;
use crate::{Error, Projection, Rebuilding, migrate, tables};

/// What a comparison with the log found.
#[derive(Clone, Debug, PartialEq)]
pub struct Drift {
    /// The position as of which rows were compared; the lowest, where partitions stand at different ones.
    pub position: Position,
    /// Tenants whose rows were compared.
    pub tenants: u64,
    /// Rows that were compared, of either side.
    pub rows: u64,
    /// Rows that are not what the log says.
    pub differing: u64,
    /// The first of them, by table, tenant and key.
    pub differences: Vec<Difference>,
    /// Events that the live tables lack because they are parked: their rows are among those that differ if they could be
    /// applied now.
    pub parked_events: u64,
    /// Whether rows of tenants that have no event were looked for too, which only a role that bypasses row level security sees.
    pub strangers: bool,
    /// How long it took.
    pub took: Duration,
}

/// A row that is not what the log says.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The table.
    pub table: &'static str,
    /// How it differs.
    pub kind: DifferenceKind,
    /// Its primary key.
    pub key: Map<String, Value>,
    /// The columns that differ; none when the row is on one side only.
    pub columns: Vec<ColumnDifference>,
}

/// How a row differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DifferenceKind {
    /// The log says that it should be there.
    Missing,
    /// The log says nothing of it.
    Unexpected,
    /// It is there with other values.
    Changed,
}

impl DifferenceKind {
    /// The kind's name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Unexpected => "unexpected",
            Self::Changed => "changed",
        }
    }
}

/// A column that differs.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnDifference {
    /// Its name.
    pub name: String,
    /// What the live table has.
    pub live: Value,
    /// What the log says.
    pub expected: Value,
}

/// Compares a projection's live tables, as of one position, with what the log says, and returns the first `limit` rows that
/// differ. Nothing that is live is changed or waits, but for a rebuild's swap. `admin` connects to any database of the cluster
/// and may act as the service's owner.
///
/// # Errors
/// Also when the tables are of another version than the projection.
pub async fn drift(
    admin: &PgConnectOptions,
    database: &Database,
    store: &EventStore,
    projection: &dyn Projection,
    limit: usize,
    mut on_progress: impl FnMut(Rebuilding) + Send,
) -> Result<Drift, Error> {
    let began = Instant::now();
    let mut connection = migrate::connect(admin, database).await?;
    let schema = tables::shadow_schema(database, projection, "drift");
    let mut build = Build::begin(&mut connection, database, projection, schema).await?;
    let head = Reached::of(&checkpoints(&mut connection, projection).await?).lowest();
    build.fill(&mut connection, store, head, |position| on_progress(Rebuilding { position, head })).await?;

    // Rows and checkpoint are written together, so in one snapshot the live tables are as of the checkpoints. The lock is the
    // one that readers have: no swap until the end.
    let mut snapshot = connection
        .begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ; LOCK TABLE projector.swaps IN ACCESS SHARE MODE")
        .await?;
    let live = checkpoints(&mut snapshot, projection).await?;
    let reached = Reached::of(&live);
    if build.position > reached.lowest() {
        return Err(Error::Moved { projection: projection.name().to_owned() });
    }
    build.follow(&mut snapshot, store, &reached).await?;
    if build.position != reached.highest() {
        return Err(Error::Moved { projection: projection.name().to_owned() });
    }
    let mut comparison = Comparison::new(projection, tables::live_schema(database), build.schema.clone(), limit);
    for tenant in &build.tenants {
        comparison.tenant(&mut snapshot, tenant.uuid()).await?;
    }
    let strangers = comparison.strangers(&mut snapshot, &build.tenants).await?;
    snapshot.rollback().await?;
    connection.execute(format!("DROP SCHEMA {} CASCADE", build.schema).as_str()).await?;
    connection.close().await?;
    Ok(Drift {
        position: reached.lowest(),
        tenants: build.tenants.len() as u64,
        rows: comparison.rows,
        differing: comparison.differing,
        differences: comparison.differences,
        parked_events: live.iter().map(|checkpoint| checkpoint.parked_events).sum(),
        strangers,
        took: began.elapsed(),
    })
}

async fn checkpoints(connection: &mut PgConnection, projection: &dyn Projection) -> Result<Vec<Checkpoint>, Error> {
    let name = projection.name();
    let found = Checkpoint::load(connection, name).await?;
    match found.first().map(|first| first.version) {
        None => Err(Error::NotMigrated { projection: name.to_owned() }),
        Some(stored) if stored != projection.version() => {
            Err(Error::OtherVersion { projection: name.to_owned(), stored, program: projection.version() })
        }
        Some(_) => Ok(found),
    }
}
