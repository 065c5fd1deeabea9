//! The checkpoint of a partition: the position up to which the events of its tenants are in the tables. It is moved only by
//! compare-and-set.

use kernel::{Position, RecordedEvent};
use sqlx::{PgConnection, Row};

use crate::Projection;
use crate::partition::{Partition, Reached};

/// A row of `projector.checkpoints`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    /// The partition.
    pub(crate) partition: Partition,
    /// The version of the tables.
    pub(crate) version: u32,
    /// The last position whose event is in the tables.
    pub(crate) position: Position,
    /// Later events that are in the tables already, because partitions had different positions when they were joined or divided.
    pub(crate) reached: Reached,
    /// How often the tables were replaced or the number of partitions was changed.
    pub(crate) generation: i64,
    /// The names of the tables.
    pub(crate) tables: Vec<String>,
    /// Events that wait because they, or an earlier one of their aggregate, can't be applied.
    pub(crate) parked_events: u64,
}

impl Checkpoint {
    /// The checkpoints of a projection's partitions, in their order; empty when it has no tables.
    pub(crate) async fn load(connection: &mut PgConnection, projection: &str) -> Result<Vec<Self>, sqlx::Error> {
        let rows = sqlx::query(
            "SELECT partition, partitions, version, position, reached, generation, tables, parked_events
             FROM projector.checkpoints WHERE projection = $1 ORDER BY partition",
        );
        rows.bind(projection).fetch_all(connection).await?.iter().map(Self::read).collect()
    }

    /// Like [`load`](Self::load), and locks the rows, so that nobody moves the checkpoints before the transaction ends.
    pub(crate) async fn lock(connection: &mut PgConnection, projection: &str) -> Result<Vec<Self>, sqlx::Error> {
        let rows = sqlx::query(
            "SELECT partition, partitions, version, position, reached, generation, tables, parked_events
             FROM projector.checkpoints WHERE projection = $1 ORDER BY partition FOR UPDATE",
        );
        rows.bind(projection).fetch_all(connection).await?.iter().map(Self::read).collect()
    }

    fn read(row: &sqlx::postgres::PgRow) -> Result<Self, sqlx::Error> {
        let count = |column| Ok::<_, sqlx::Error>(row.try_get::<i32, _>(column)?.cast_unsigned());
        Ok(Self {
            partition: Partition::new(count("partition")?, count("partitions")?),
            version: u32::try_from(row.try_get::<i64, _>("version")?).unwrap_or(u32::MAX),
            position: Position::from_i64(row.try_get("position")?),
            reached: Reached::read(row.try_get("reached")?),
            generation: row.try_get("generation")?,
            tables: row.try_get("tables")?,
            parked_events: row.try_get::<i64, _>("parked_events")?.cast_unsigned(),
        })
    }

    /// Whether an event after the checkpoint is of this partition and not in the tables yet.
    pub(crate) fn awaits(&self, event: &RecordedEvent) -> bool {
        self.partition.holds(event.tenant.uuid()) && !self.reached.has(event)
    }

    /// Inserts the checkpoint of tables that were just created.
    pub(crate) async fn create(connection: &mut PgConnection, projection: &dyn Projection) -> Result<(), sqlx::Error> {
        sqlx::query("INSERT INTO projector.checkpoints (projection, version, position, tables) VALUES ($1, $2, 0, $3)")
            .bind(projection.name())
            .bind(i64::from(projection.version()))
            .bind(projection.tables())
            .execute(connection)
            .await?;
        Ok(())
    }

    /// Moves the checkpoint by compare-and-set. False: another instance or a rebuild has moved it, and the transaction must not be
    /// committed.
    pub(crate) async fn advance(
        &self,
        connection: &mut PgConnection,
        projection: &str,
        to: Position,
    ) -> Result<bool, sqlx::Error> {
        let moved = sqlx::query(
            "UPDATE projector.checkpoints SET position = $1
             WHERE projection = $2 AND partition = $3 AND partitions = $4 AND version = $5 AND generation = $6
               AND position = $7",
        )
        .bind(to.as_i64())
        .bind(projection)
        .bind(self.partition.number().cast_signed())
        .bind(self.partition.of().cast_signed())
        .bind(i64::from(self.version))
        .bind(self.generation)
        .bind(self.position.as_i64())
        .execute(connection)
        .await?;
        Ok(moved.rows_affected() == 1)
    }

    /// Updates the checkpoints, which the caller has locked, for tables that replace the old ones. The caller recounts the parked events.
    pub(crate) async fn replace(
        connection: &mut PgConnection,
        projection: &dyn Projection,
        position: Position,
    ) -> Result<(), sqlx::Error> {
        sqlx::query(
            "UPDATE projector.checkpoints
             SET version = $2, position = $3, reached = NULL, generation = generation + 1, tables = $4
             WHERE projection = $1",
        )
        .bind(projection.name())
        .bind(i64::from(projection.version()))
        .bind(position.as_i64())
        .bind(projection.tables())
        .execute(connection)
        .await?;
        Ok(())
    }

    /// Replaces the old checkpoints, which the caller has locked, by those of `into` partitions. Each event is still applied once: see
    /// [`Reached::divided`]. The caller recounts the parked events.
    pub(crate) async fn divide(
        connection: &mut PgConnection,
        projection: &str,
        old: &[Self],
        into: u32,
    ) -> Result<(), sqlx::Error> {
        let Some(first) = old.first() else { return Ok(()) };
        let reached = Reached::of(old);
        // Higher than all old ones, so that workers with the old partitions fail to move their checkpoints.
        let generation = old.iter().map(|checkpoint| checkpoint.generation).max().unwrap_or_default() + 1;
        sqlx::query("DELETE FROM projector.checkpoints WHERE projection = $1")
            .bind(projection)
            .execute(&mut *connection)
            .await?;
        for partition in Partition::all(into) {
            let (position, reached) = reached.divided(partition);
            sqlx::query(
                "INSERT INTO projector.checkpoints
                     (projection, partition, partitions, version, position, reached, generation, tables)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            )
            .bind(projection)
            .bind(partition.number().cast_signed())
            .bind(partition.of().cast_signed())
            .bind(i64::from(first.version))
            .bind(position.as_i64())
            .bind(reached.stored())
            .bind(generation)
            .bind(&first.tables)
            .execute(&mut *connection)
            .await?;
        }
        Ok(())
    }
}
