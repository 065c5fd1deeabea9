//! Parked events: those that can't be applied, and the later events of their aggregates. They are stored as dead letters of the projection
//! ([`deadletters`]); a worker keeps in memory which aggregates have some.

use std::time::Duration;

use deadletters::{Backoff, Consumer, Held, Kind, Settled, Share, Taken};
use kernel::RecordedEvent;
use sqlx::PgConnection;
use tokio::time::Instant;

use crate::partition::Partition;

/// An event to be parked.
pub(crate) use deadletters::Entry as ParkedEvent;

/// The part of the dead letters that belongs to a partition's tenants.
pub(crate) fn share(partition: Partition) -> Share {
    Share { number: partition.number(), of: partition.of() }
}

/// The parked events of one partition of a projection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parked {
    held: Held,
    events: u64,
    /// When to check for a dead letter that is due; `None` while nothing is parked.
    due: Option<Instant>,
    pub(crate) backoff: Backoff,
}

/// The name of a projection as a consumer in the tables of dead letters.
pub(crate) fn consumer(projection: &str) -> Consumer {
    Consumer::new(Kind::Projection, projection)
}

impl Parked {
    /// Loads the parked events of a partition that was just acquired. All are retried soon, because this version of the program may be able
    /// to apply events that another one could not.
    pub(crate) async fn load(
        connection: &mut PgConnection,
        projection: &str,
        partition: Partition,
        backoff: Backoff,
    ) -> Result<Self, sqlx::Error> {
        adopt(connection, projection).await?;
        let consumer = consumer(projection);
        let share = share(partition);
        let mut parked = Self { backoff, ..Self::default() };
        parked.reload(connection, projection, partition).await?;
        if !parked.held.is_empty() {
            deadletters::retry_soon(connection, &consumer, share, backoff.first).await?;
            parked.due = Some(Instant::now());
        }
        Ok(parked)
    }

    /// Loads again which events are parked in the database. The dead letters of a tenant are deleted with it, by another process.
    pub(crate) async fn reload(
        &mut self,
        connection: &mut PgConnection,
        projection: &str,
        partition: Partition,
    ) -> Result<(), sqlx::Error> {
        self.held = Held::load(connection, &consumer(projection), share(partition)).await?;
        let events: i64 = sqlx::query_scalar(
            "SELECT parked_events FROM projector.checkpoints WHERE projection = $1 AND partition = $2",
        )
        .bind(projection)
        .bind(partition.number().cast_signed())
        .fetch_one(connection)
        .await?;
        self.events = events.cast_unsigned();
        Ok(())
    }

    /// Whether an event has to be parked, because an earlier one of its aggregate is.
    pub(crate) fn holds(&self, event: &RecordedEvent) -> bool {
        self.held.holds(event)
    }

    /// Adds events that were parked.
    pub(crate) fn add(&mut self, events: &[ParkedEvent]) {
        self.events += events.len() as u64;
        for event in events {
            self.held.add(event);
        }
        if !events.is_empty() && self.due.is_none() {
            self.due = Some(Instant::now() + self.backoff.first);
        }
    }

    /// Removes the events that are no longer parked after an attempt.
    pub(crate) fn settle(&mut self, taken: &Taken, settled: Settled) {
        self.events = self.events.saturating_sub(settled.events);
        if settled.drained {
            self.held.remove(taken);
        }
    }

    /// When to check for a dead letter that is due; `None` while nothing is parked.
    pub(crate) const fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Sets when to check for a dead letter that is due. `None`: nothing is parked in the database.
    pub(crate) fn schedule(&mut self, pause: Option<Duration>) {
        self.due = pause.map(|pause| Instant::now() + pause);
    }

    /// The number of parked events.
    pub(crate) const fn events(&self) -> u64 {
        self.events
    }

    /// The number of aggregates with parked events.
    pub(crate) fn aggregates(&self) -> u64 {
        self.held.len() as u64
    }
}

/// Moves events that a program from before 2026-12 parked in the projector's own tables to the tables of dead letters.
async fn adopt(connection: &mut PgConnection, projection: &str) -> Result<(), sqlx::Error> {
    sqlx::query(
        "WITH a AS (DELETE FROM projector.parked_aggregates WHERE projection = $1),
              e AS (DELETE FROM projector.parked_events WHERE projection = $1 RETURNING *)
         INSERT INTO dead.letters (tenant_id, consumer, position, aggregate_type, aggregate_id, event_type, state, attempts, errors,
             next_attempt_at, parked_at)
         SELECT tenant_id, $2, position, aggregate_type, aggregate_id, event_type,
             CASE WHEN reason IS NULL THEN 'waiting' ELSE 'parked' END, CASE WHEN reason IS NULL THEN 0 ELSE 1 END,
             CASE WHEN reason IS NULL THEN '{}' ELSE ARRAY[reason] END, CASE WHEN reason IS NOT NULL THEN now() END, parked_at
         FROM e",
    )
    .bind(projection)
    .bind(consumer(projection).as_str())
    .execute(connection)
    .await?;
    Ok(())
}

/// Stores the events that a partition has to park, in the transaction that applies the other events.
pub(crate) async fn store(
    connection: &mut PgConnection,
    projection: &str,
    partition: Partition,
    events: &[ParkedEvent],
    backoff: Backoff,
) -> Result<(), sqlx::Error> {
    if events.is_empty() {
        return Ok(());
    }
    deadletters::park(connection, &consumer(projection), events, backoff).await?;
    let aggregates = events.iter().filter(|event| event.errors.is_some()).count();
    count(connection, projection, partition, events.len() as i64, aggregates as i64).await
}

/// Adds to the numbers of parked events and aggregates in the partition's checkpoint, which readers of all tenants may see.
pub(crate) async fn count(
    connection: &mut PgConnection,
    projection: &str,
    partition: Partition,
    events: i64,
    aggregates: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE projector.checkpoints
         SET parked_events = parked_events + $3, parked_aggregates = parked_aggregates + $4
         WHERE projection = $1 AND partition = $2",
    )
    .bind(projection)
    .bind(partition.number().cast_signed())
    .bind(events)
    .bind(aggregates)
    .execute(connection)
    .await
    .map(drop)
}

/// Recounts the parked events of a projection for each of its partitions, after the partitions or the parked events were replaced. The
/// tenant's partition is computed as in `eventstore::partition_of`. (`log.purge` counts in the same way when a tenant is deleted.)
pub(crate) async fn recount(connection: &mut PgConnection, projection: &str) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE projector.checkpoints c SET
             parked_events = (
                 SELECT count(*) FROM dead.letters l WHERE l.consumer = $2 AND l.state IN ('parked', 'waiting')
                     AND get_byte(uuid_send(l.tenant_id), 15) & (c.partitions - 1) = c.partition),
             parked_aggregates = (
                 SELECT count(*) FROM dead.letters l WHERE l.consumer = $2 AND l.state = 'parked'
                     AND get_byte(uuid_send(l.tenant_id), 15) & (c.partitions - 1) = c.partition)
         WHERE c.projection = $1",
    )
    .bind(projection)
    .bind(consumer(projection).as_str())
    .execute(connection)
    .await?;
    Ok(())
}

/// Deletes the parked events of a projection. The caller recounts them in the checkpoints.
pub(crate) async fn clear(connection: &mut PgConnection, projection: &str) -> Result<(), sqlx::Error> {
    for table in ["parked_events", "parked_aggregates"] {
        sqlx::query(&format!("DELETE FROM projector.{table} WHERE projection = $1"))
            .bind(projection)
            .execute(&mut *connection)
            .await?;
    }
    deadletters::clear(connection, &consumer(projection)).await
}
