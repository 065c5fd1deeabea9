//! How the webhooks of a service are doing as a whole.

use kernel::Position;
use sqlx::{PgPool, Row};
use uuid::Uuid;

use crate::positions::Positions;

/// All endpoints of a service, of all tenants, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndpointCounts {
    /// Endpoints that are sent to.
    pub enabled: u64,
    /// Those of them whose last attempt failed.
    pub failing: u64,
    /// Endpoints that are not sent to.
    pub disabled: u64,
    /// The most positions of the log that one of those which do not fail is behind.
    pub lag: u64,
    /// The most that any is behind that is sent to.
    pub longest_lag: u64,
    /// Aggregates of which an event was refused by a receiver, over all endpoints.
    pub parked: u64,
}

pub(crate) async fn counts(pool: &PgPool, positions: &Positions) -> Result<EndpointCounts, sqlx::Error> {
    // All endpoints: there are few of a tenant, and somebody asks every few seconds.
    let rows = sqlx::query(
        "SELECT e.endpoint_id, e.enabled, c.attempts > 0 AS failing, c.position, h.position AS head
         FROM webhooks.endpoints e JOIN webhooks.cursors c USING (tenant_id, endpoint_id), log.head h",
    )
    .fetch_all(pool)
    .await?;
    // The parked letters of all consumers, by their partial index; there are few.
    let parked: i64 =
        sqlx::query_scalar("SELECT count(*) FROM dead.letters WHERE state = 'parked' AND consumer LIKE 'webhook.%'")
            .fetch_one(pool)
            .await?;
    let mut counts = EndpointCounts { parked: parked.cast_unsigned(), ..EndpointCounts::default() };
    for row in rows {
        if !row.try_get::<bool, _>("enabled")? {
            counts.disabled += 1;
            continue;
        }
        counts.enabled += 1;
        let stored = Position::from_i64(row.try_get("position")?);
        let position = positions.of(row.try_get::<Uuid, _>("endpoint_id")?).map_or(stored, |here| here.max(stored));
        let lag = Position::from_i64(row.try_get("head")?).0.saturating_sub(position.0);
        counts.longest_lag = counts.longest_lag.max(lag);
        if row.try_get::<bool, _>("failing")? {
            counts.failing += 1;
        } else {
            counts.lag = counts.lag.max(lag);
        }
    }
    Ok(counts)
}
