//! Events that wait because they, or an earlier one of their aggregate, can't be applied: what a worker knows of them, and how
//! they are written down. They are dead letters of the projection ([`deadletters`]).

use std::time::Duration;

use deadletters::{Backoff, Consumer, Held, Kind, Settled, Share, Taken};
use kernel::RecordedEvent;
use sqlx::PgConnection;
use tokio::time::Instant;

use crate::partition::Partition;

/// An event to be parked.
pub(crate) use deadletters::Entry as ParkedEvent;

/// The letters of a partition's tenants.
pub(crate) fn share(partition: Partition) -> Share {
    Share { number: partition.number(), of: partition.of() }
}

/// What is parked of one partition of a projection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parked {
    held: Held,
    events: u64,
    /// When the first of them may be due. Nothing is parked: never.
    due: Option<Instant>,
    pub(crate) backoff: Backoff,
}

/// How a projection is called among those who can't take events.
pub(crate) fn consumer(projection: &str) -> Consumer {
    Consumer::new(Kind::Projection, projection)
}

impl Parked {
    /// What the database has of a projection's partition that was just taken over. All of it is tried soon: this program may be able to apply
    /// what another could not.
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
        parked.look(connection, projection, partition).await?;
        if !parked.held.is_empty() {
            deadletters::hasten(connection, &consumer, share, backoff.first).await?;
            parked.due = Some(Instant::now());
        }
        Ok(parked)
    }

    /// Which of them the database has by now: what a tenant had parked goes with it, whoever destroys it, and then waits for nobody here.
    pub(crate) async fn look(
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

    /// Whether an event has to wait.
    pub(crate) fn holds(&self, event: &RecordedEvent) -> bool {
        self.held.holds(event)
    }

    /// Counts in events that are parked.
    pub(crate) fn add(&mut self, events: &[ParkedEvent]) {
        self.events += events.len() as u64;
        for event in events {
            self.held.add(event);
        }
        if !events.is_empty() && self.due.is_none() {
            self.due = Some(Instant::now() + self.backoff.first);
        }
    }

    /// Counts out events that wait no more.
    pub(crate) fn settle(&mut self, taken: &Taken, settled: Settled) {
        self.events = self.events.saturating_sub(settled.events);
        if settled.drained {
            self.held.remove(taken);
        }
    }

    /// When to look for one that is due.
    pub(crate) const fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Looks again after this time; `None`: nothing is parked, as the database has it.
    pub(crate) fn look_in(&mut self, pause: Option<Duration>) {
        self.due = pause.map(|pause| Instant::now() + pause);
    }

    /// How many events wait.
    pub(crate) const fn events(&self) -> u64 {
        self.events
    }

    /// How many aggregates they belong to.
    pub(crate) fn aggregates(&self) -> u64 {
        self.held.len() as u64
    }
}

/// Takes over what a program of before 2026-12 parked in tables of the projector's own.
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

/// Writes down what a partition has to park, in the transaction that applies the rest.
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

/// Counts what is parked in the checkpoint, where everybody may see how many there are.
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

/// Counts what is parked of a projection for each of its partitions, after these or the parked events were written anew. A
/// tenant's partition is that of `eventstore::partition_of`. (`log.purge` counts in the same way when a tenant goes.)
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

/// Forgets what is parked of a projection; its checkpoints are written anew by the caller.
pub(crate) async fn clear(connection: &mut PgConnection, projection: &str) -> Result<(), sqlx::Error> {
    for table in ["parked_events", "parked_aggregates"] {
        sqlx::query(&format!("DELETE FROM projector.{table} WHERE projection = $1"))
            .bind(projection)
            .execute(&mut *connection)
            .await?;
    }
    deadletters::clear(connection, &consumer(projection)).await
}
