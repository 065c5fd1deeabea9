//! The status of projections: version, position, lag and parked events, read from the database.

use kernel::Position;
use sqlx::{PgConnection, PgPool, Row};

use crate::Progress;
use crate::partition::{MAX_PARTITIONS, Partition};

/// The status of one partition of a projection, or of the whole projection if it has only one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectionStatus {
    /// The projection's name.
    pub name: &'static str,
    /// The partition.
    pub partition: Partition,
    /// The version of its tables; 0 when there are no tables.
    pub version: u32,
    /// The last position that is applied.
    pub position: Position,
    /// Events of the log that are not applied yet.
    pub lag: u64,
    /// Events that wait because they, or an earlier one of their aggregate, can't be applied.
    pub parked_events: u64,
    /// Aggregates with parked events.
    pub parked_aggregates: u64,
    /// The state.
    pub state: ProjectionState,
}

/// The state of a projection or partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProjectionState {
    /// It applies new events.
    Live,
    /// It applies new events, and some events are parked.
    Parked,
    /// This process can't apply events at the moment, because the database refuses or does not answer. It keeps trying.
    Failing,
    /// Its tables are of another version than the program: rebuild it.
    NeedsRebuild,
    /// Its tables do not exist: run `inopsio migrate`.
    Missing,
}

impl ProjectionState {
    /// The state's name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Parked => "parked",
            Self::Failing => "failing",
            Self::NeedsRebuild => "needs_rebuild",
            Self::Missing => "missing",
        }
    }
}

/// For each of [`MAX_PARTITIONS`] partitions, the position that all these projections have reached for its tenants; 0 when a projection has
/// no tables.
pub(crate) async fn reached(pool: &PgPool, projections: &[(&'static str, u32)]) -> Result<Vec<Position>, sqlx::Error> {
    let names: Vec<&str> = projections.iter().map(|(name, _)| *name).collect();
    let query = "SELECT coalesce(min(coalesce(c.position, 0)), 0)
         FROM generate_series(0, $2 - 1) AS s (n)
         LEFT JOIN unnest($1::text[]) AS p (projection) ON true
         LEFT JOIN projector.checkpoints c ON c.projection = p.projection AND c.partition = s.n & (c.partitions - 1)
         GROUP BY s.n ORDER BY s.n";
    let most = MAX_PARTITIONS.cast_signed();
    let reached: Vec<i64> = sqlx::query_scalar(query).bind(&names).bind(most).fetch_all(pool).await?;
    Ok(reached.into_iter().map(Position::from_i64).collect())
}

/// The lowest position among those projections whose stored checkpoint, for a tenant of `partition` of [`MAX_PARTITIONS`], is before the
/// expected one. `None` when there is none.
pub(crate) async fn taken_back(
    connection: &mut PgConnection,
    partition: Partition,
    expected: &[(&'static str, Position)],
) -> Result<Option<Position>, sqlx::Error> {
    let (names, positions): (Vec<&str>, Vec<i64>) =
        expected.iter().map(|(name, position)| (*name, position.as_i64())).unzip();
    let query = "SELECT min(coalesce(c.position, 0))
         FROM unnest($1::text[], $2::bigint[]) AS e (projection, position)
         LEFT JOIN projector.checkpoints c ON c.projection = e.projection AND c.partition = $3 & (c.partitions - 1)
         WHERE coalesce(c.position, 0) < e.position";
    let query = sqlx::query_scalar(query).bind(names).bind(positions).bind(partition.number().cast_signed());
    let lowest: Option<i64> = query.fetch_one(connection).await?;
    Ok(lowest.map(Position::from_i64))
}

/// The status of each partition of these projections. With `progress`, positions and failures of this process are included.
pub(crate) async fn status(
    pool: &PgPool,
    projections: &[(&'static str, u32)],
    progress: Option<&Progress>,
) -> Result<Vec<ProjectionStatus>, sqlx::Error> {
    let names: Vec<&str> = projections.iter().map(|(name, _)| *name).collect();
    // One statement, so that the head and the checkpoints come from one snapshot.
    let rows = sqlx::query(concat!(
        "SELECT p.n - 1 AS n, coalesce(c.partition, 0) AS partition, coalesce(c.partitions, 1) AS partitions, c.version,
                coalesce(c.position, 0) AS position, h.position AS head, coalesce(c.parked_events, 0) AS parked_events, coalesce(c.parked_aggregates, 0) AS parked_aggregates
         FROM unnest($1::text[]) WITH ORDINALITY AS p (projection, n)
         LEFT JOIN projector.checkpoints c USING (projection), ",
        eventstore::log_head!(),
        " ORDER BY p.n, c.partition"
    ))
    .bind(&names)
    .fetch_all(pool)
    .await?;
    let mut statuses = Vec::with_capacity(rows.len());
    for row in &rows {
        let nth = usize::try_from(row.try_get::<i64, _>("n")?).unwrap_or(usize::MAX);
        let Some((name, wanted)) = projections.get(nth) else { continue };
        let (number, of): (i32, i32) = (row.try_get("partition")?, row.try_get("partitions")?);
        let partition = Partition::new(number.cast_unsigned(), of.cast_unsigned());
        let version =
            row.try_get::<Option<i64>, _>("version")?.map(|version| u32::try_from(version).unwrap_or(u32::MAX));
        let parked_events = row.try_get::<i64, _>("parked_events")?.cast_unsigned();
        let state = match version {
            None => ProjectionState::Missing,
            Some(version) if version != *wanted => ProjectionState::NeedsRebuild,
            Some(_) if progress.is_some_and(|progress| progress.failing(name, partition)) => ProjectionState::Failing,
            Some(_) if parked_events > 0 => ProjectionState::Parked,
            Some(_) => ProjectionState::Live,
        };
        let stored = Position::from_i64(row.try_get("position")?);
        // This process may be ahead of its stored checkpoint.
        let position =
            progress.and_then(|progress| progress.of(name, partition)).map_or(stored, |here| here.max(stored));
        let head = Position::from_i64(row.try_get("head")?);
        statuses.push(ProjectionStatus {
            name,
            partition,
            version: version.unwrap_or(0),
            position,
            lag: head.0.saturating_sub(position.0),
            parked_events,
            parked_aggregates: row.try_get::<i64, _>("parked_aggregates")?.cast_unsigned(),
            state,
        });
    }
    Ok(statuses)
}
