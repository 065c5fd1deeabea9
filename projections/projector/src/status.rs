//! How projections are doing, as the database has it.

use kernel::Position;
use sqlx::{PgPool, Row};

use crate::Progress;

/// How one projection is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectionStatus {
    /// Its name.
    pub name: &'static str,
    /// The version that its tables have; 0 when there are none.
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
    /// This process can't apply it at the moment: its database refuses, or does not answer. It tries again and again.
    Failing,
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
            Self::Failing => "failing",
            Self::NeedsRebuild => "needs_rebuild",
            Self::Missing => "missing",
        }
    }
}

/// The position that all these projections have reached; 0 when one has no tables.
pub(crate) async fn reached(pool: &PgPool, projections: &[(&'static str, u32)]) -> Result<Position, sqlx::Error> {
    let names: Vec<&str> = projections.iter().map(|(name, _)| *name).collect();
    let query = "SELECT coalesce(min(coalesce(c.position, 0)), 0)
         FROM unnest($1::text[]) AS p (projection) LEFT JOIN projector.checkpoints c USING (projection)";
    Ok(Position::from_i64(sqlx::query_scalar(query).bind(&names).fetch_one(pool).await?))
}

pub(crate) async fn status(
    pool: &PgPool,
    projections: &[(&'static str, u32)],
    progress: Option<&Progress>,
) -> Result<Vec<ProjectionStatus>, sqlx::Error> {
    let names: Vec<&str> = projections.iter().map(|(name, _)| *name).collect();
    // One statement, so that head and checkpoints are of one moment.
    let rows = sqlx::query(
        "SELECT c.version, coalesce(c.position, 0) AS position, h.position AS head,
                coalesce(c.parked_events, 0) AS parked_events, coalesce(c.parked_aggregates, 0) AS parked_aggregates
         FROM unnest($1::text[]) WITH ORDINALITY AS p (projection, n)
         LEFT JOIN projector.checkpoints c USING (projection), log.head h
         ORDER BY p.n",
    )
    .bind(&names)
    .fetch_all(pool)
    .await?;
    let mut statuses = Vec::with_capacity(rows.len());
    for (row, (name, wanted)) in rows.iter().zip(projections) {
        let version =
            row.try_get::<Option<i64>, _>("version")?.map(|version| u32::try_from(version).unwrap_or(u32::MAX));
        let parked_events = row.try_get::<i64, _>("parked_events")?.cast_unsigned();
        let state = match version {
            None => ProjectionState::Missing,
            Some(version) if version != *wanted => ProjectionState::NeedsRebuild,
            Some(_) if progress.is_some_and(|progress| progress.failing(name)) => ProjectionState::Failing,
            Some(_) if parked_events > 0 => ProjectionState::Parked,
            Some(_) => ProjectionState::Live,
        };
        let stored = Position::from_i64(row.try_get("position")?);
        // This process may be further than what it has stored.
        let position = progress.and_then(|progress| progress.of(name)).map_or(stored, |here| here.max(stored));
        let head = Position::from_i64(row.try_get("head")?);
        statuses.push(ProjectionStatus {
            name,
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
