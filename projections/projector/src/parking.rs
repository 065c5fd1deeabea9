//! Events that wait because they, or an earlier one of their aggregate, can't be applied.

use std::collections::HashSet;

use kernel::{Position, RecordedEvent, TenantId};
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use crate::partition::Partition;

/// One aggregate of one tenant.
type Key = (Uuid, String, String);

/// What is parked of one partition of a projection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parked {
    aggregates: HashSet<Key>,
    events: u64,
}

/// An event to be parked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ParkedEvent {
    tenant: TenantId,
    aggregate_type: String,
    aggregate_id: String,
    event_type: String,
    pub(crate) position: Position,
    /// Why it could not be applied; `None`: because it follows one that could not.
    pub(crate) reason: Option<String>,
}

impl ParkedEvent {
    pub(crate) fn new(event: &RecordedEvent, reason: Option<String>) -> Self {
        Self {
            tenant: event.tenant,
            aggregate_type: event.aggregate_type.clone(),
            aggregate_id: event.aggregate_id.clone(),
            event_type: event.event_type.clone(),
            position: event.position,
            // Postgres keeps no NUL in text, and a reason may quote the event.
            reason: reason.map(|reason| reason.replace('\0', "\u{FFFD}")),
        }
    }
}

impl Parked {
    /// What the database has of a projection's partition.
    pub(crate) async fn load(
        connection: &mut PgConnection,
        projection: &str,
        partition: Partition,
    ) -> Result<Self, sqlx::Error> {
        let rows = sqlx::query(
            "SELECT tenant_id, aggregate_type, aggregate_id FROM projector.parked_aggregates WHERE projection = $1",
        )
        .bind(projection)
        .fetch_all(&mut *connection)
        .await?;
        let events: i64 = sqlx::query_scalar(
            "SELECT parked_events FROM projector.checkpoints WHERE projection = $1 AND partition = $2",
        )
        .bind(projection)
        .bind(partition.number().cast_signed())
        .fetch_one(connection)
        .await?;
        let key = |row: &sqlx::postgres::PgRow| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?));
        let aggregates = rows.iter().map(key).collect::<Result<HashSet<Key>, sqlx::Error>>()?;
        let aggregates = aggregates.into_iter().filter(|(tenant, ..)| partition.holds(*tenant)).collect();
        Ok(Self { aggregates, events: events.cast_unsigned() })
    }

    /// Whether an event has to wait.
    pub(crate) fn holds(&self, event: &RecordedEvent) -> bool {
        // Nearly always there is nothing, and then this costs nothing.
        !self.aggregates.is_empty()
            && self.aggregates.contains(&(
                event.tenant.uuid(),
                event.aggregate_type.clone(),
                event.aggregate_id.clone(),
            ))
    }

    /// Counts in events that are parked.
    pub(crate) fn add(&mut self, events: &[ParkedEvent]) {
        self.events += events.len() as u64;
        for event in events {
            self.aggregates.insert((event.tenant.uuid(), event.aggregate_type.clone(), event.aggregate_id.clone()));
        }
    }

    /// How many events wait.
    pub(crate) const fn events(&self) -> u64 {
        self.events
    }
}

/// Writes down what a partition has to park, in the transaction that applies the rest.
pub(crate) async fn store(
    connection: &mut PgConnection,
    projection: &str,
    partition: Partition,
    events: &[ParkedEvent],
) -> Result<(), sqlx::Error> {
    if events.is_empty() {
        return Ok(());
    }
    let tenants: Vec<Uuid> = events.iter().map(|event| event.tenant.uuid()).collect();
    let positions: Vec<i64> = events.iter().map(|event| event.position.as_i64()).collect();
    let types: Vec<&str> = events.iter().map(|event| event.aggregate_type.as_str()).collect();
    let ids: Vec<&str> = events.iter().map(|event| event.aggregate_id.as_str()).collect();
    let names: Vec<&str> = events.iter().map(|event| event.event_type.as_str()).collect();
    let reasons: Vec<Option<&str>> = events.iter().map(|event| event.reason.as_deref()).collect();
    sqlx::query(
        "INSERT INTO projector.parked_events
             (projection, tenant_id, position, aggregate_type, aggregate_id, event_type, reason)
         SELECT $1, * FROM unnest($2::uuid[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[])",
    )
    .bind(projection)
    .bind(&tenants)
    .bind(&positions)
    .bind(&types)
    .bind(&ids)
    .bind(&names)
    .bind(&reasons)
    .execute(&mut *connection)
    .await?;
    let aggregates = sqlx::query(
        "INSERT INTO projector.parked_aggregates (projection, tenant_id, position, aggregate_type, aggregate_id, reason)
         SELECT $1, e.* FROM unnest($2::uuid[], $3::bigint[], $4::text[], $5::text[], $6::text[])
             AS e (tenant_id, position, aggregate_type, aggregate_id, reason)
         WHERE e.reason IS NOT NULL",
    )
    .bind(projection)
    .bind(&tenants)
    .bind(&positions)
    .bind(&types)
    .bind(&ids)
    .bind(&reasons)
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "UPDATE projector.checkpoints
         SET parked_events = parked_events + $3, parked_aggregates = parked_aggregates + $4
         WHERE projection = $1 AND partition = $2",
    )
    .bind(projection)
    .bind(partition.number().cast_signed())
    .bind((events.len() as u64).cast_signed())
    .bind(aggregates.rows_affected().cast_signed())
    .execute(connection)
    .await?;
    Ok(())
}

/// Counts what is parked of a projection for each of its partitions, after these or the parked events were written anew. A
/// tenant's partition is that of `eventstore::partition_of`.
pub(crate) async fn recount(connection: &mut PgConnection, projection: &str) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE projector.checkpoints c SET
             parked_events = (
                 SELECT count(*) FROM projector.parked_events e WHERE e.projection = c.projection
                     AND get_byte(uuid_send(e.tenant_id), 15) & (c.partitions - 1) = c.partition),
             parked_aggregates = (
                 SELECT count(*) FROM projector.parked_aggregates a WHERE a.projection = c.projection
                     AND get_byte(uuid_send(a.tenant_id), 15) & (c.partitions - 1) = c.partition)
         WHERE c.projection = $1",
    )
    .bind(projection)
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
    Ok(())
}
