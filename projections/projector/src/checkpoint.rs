//! A projection's checkpoint: what its tables hold, moved only by compare-and-set.

use kernel::Position;
use sqlx::{PgConnection, Row};

use crate::Projection;
use crate::parking::Parked;

/// A row of `projector.checkpoints`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    /// The version of the projection that made the tables.
    pub(crate) version: u32,
    /// The last position that is in the tables.
    pub(crate) position: Position,
    /// How often the tables were replaced.
    pub(crate) generation: i64,
    /// The tables, by the names they have.
    pub(crate) tables: Vec<String>,
    /// Events that wait because they, or an earlier one of their aggregate, can't be applied.
    pub(crate) parked_events: u64,
}

impl Checkpoint {
    pub(crate) async fn load(connection: &mut PgConnection, projection: &str) -> Result<Option<Self>, sqlx::Error> {
        let query = sqlx::query(
            "SELECT version, position, generation, tables, parked_events FROM projector.checkpoints
             WHERE projection = $1",
        );
        let row = query.bind(projection).fetch_optional(connection).await?;
        row.as_ref().map(Self::read).transpose()
    }

    /// The same, and nobody moves it before the transaction ends.
    pub(crate) async fn lock(connection: &mut PgConnection, projection: &str) -> Result<Option<Self>, sqlx::Error> {
        let query = sqlx::query(
            "SELECT version, position, generation, tables, parked_events FROM projector.checkpoints
             WHERE projection = $1 FOR UPDATE",
        );
        let row = query.bind(projection).fetch_optional(connection).await?;
        row.as_ref().map(Self::read).transpose()
    }

    fn read(row: &sqlx::postgres::PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            version: u32::try_from(row.try_get::<i64, _>("version")?).unwrap_or(u32::MAX),
            position: Position::from_i64(row.try_get("position")?),
            generation: row.try_get("generation")?,
            tables: row.try_get("tables")?,
            parked_events: row.try_get::<i64, _>("parked_events")?.cast_unsigned(),
        })
    }

    /// The checkpoint of tables that were just made.
    pub(crate) async fn create(connection: &mut PgConnection, projection: &dyn Projection) -> Result<(), sqlx::Error> {
        sqlx::query("INSERT INTO projector.checkpoints (projection, version, position, tables) VALUES ($1, $2, 0, $3)")
            .bind(projection.name())
            .bind(i64::from(projection.version()))
            .bind(projection.tables())
            .execute(connection)
            .await?;
        Ok(())
    }

    /// Moves the checkpoint, unless it is not where this says. False: somebody else moved it, and what the transaction did
    /// must not be committed.
    pub(crate) async fn advance(
        &self,
        connection: &mut PgConnection,
        projection: &str,
        to: Position,
    ) -> Result<bool, sqlx::Error> {
        let moved = sqlx::query(
            "UPDATE projector.checkpoints SET position = $1
             WHERE projection = $2 AND version = $3 AND generation = $4 AND position = $5",
        )
        .bind(to.as_i64())
        .bind(projection)
        .bind(i64::from(self.version))
        .bind(self.generation)
        .bind(self.position.as_i64())
        .execute(connection)
        .await?;
        Ok(moved.rows_affected() == 1)
    }

    /// The checkpoint of tables that take the place of the old ones.
    pub(crate) async fn replace(
        connection: &mut PgConnection,
        projection: &dyn Projection,
        position: Position,
        parked: &Parked,
    ) -> Result<(), sqlx::Error> {
        sqlx::query(
            "UPDATE projector.checkpoints
             SET version = $2, position = $3, generation = generation + 1, tables = $4, parked_events = $5,
                 parked_aggregates = $6
             WHERE projection = $1",
        )
        .bind(projection.name())
        .bind(i64::from(projection.version()))
        .bind(position.as_i64())
        .bind(projection.tables())
        .bind(parked.events().cast_signed())
        .bind(parked.aggregates().cast_signed())
        .execute(connection)
        .await?;
        Ok(())
    }
}
