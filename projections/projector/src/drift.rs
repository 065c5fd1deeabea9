//! Checking a projection's live tables against the log: the projection is built beside them as of the same position, and every row is
//! compared.

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

/// The result of a comparison with the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Drift {
    /// The position as of which rows were compared; the lowest one, if partitions have different positions.
    pub position: Position,
    /// Tenants whose rows were compared.
    pub tenants: u64,
    /// Rows that were compared, whether they are in the live tables, in the rebuilt ones, or in both.
    pub rows: u64,
    /// Rows that differ from those built from the log.
    pub differing: u64,
    /// The first of them, by table, tenant and key.
    pub differences: Vec<Difference>,
    /// Events that the live tables lack because they are parked. Their rows are among the differing ones if the events could be applied
    /// now.
    pub parked_events: u64,
    /// Whether rows of tenants without any event in the log were looked for too. Only a role that bypasses row level security can see them.
    pub unknown_tenants_checked: bool,
    /// How long it took.
    pub took: Duration,
}

/// A row that differs from the one built from the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The table.
    pub table: &'static str,
    /// How it differs.
    pub kind: DifferenceKind,
    /// Its primary key.
    pub key: Map<String, Value>,
    /// The columns that differ; empty when the row is missing or unexpected.
    pub columns: Vec<ColumnDifference>,
}

/// How a row differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DifferenceKind {
    /// The live table lacks a row that the log gives.
    Missing,
    /// The live table has a row that the log does not give.
    Unexpected,
    /// Both have the row, with different values.
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
    /// The value in the live table.
    pub live: Value,
    /// The value that the log gives.
    pub expected: Value,
}

/// Compares a projection's live tables, as of one position, with tables built from the log, and returns the first `limit` rows that differ.
/// The live tables are not changed and the live projection does not wait; only a rebuild's swap waits for it. `admin` connects to any
/// database of the cluster and may act as the service's owner.
///
/// # Errors
/// Errors of the database and the log; also when the tables are of another version than the projection, when another build of it is
/// running, or when its checkpoint went back.
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

    // Rows and checkpoints are written together, so in one snapshot the live tables match the checkpoints. The lock is the one that
    // readers take; it prevents a swap until the end.
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
    let unknown_tenants_checked = comparison.compare_unknown_tenants(&mut snapshot, &build.tenants).await?;
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
        unknown_tenants_checked,
        took: began.elapsed(),
    })
}

/// The checkpoints of a projection, whose tables must exist and have the version of the program.
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
