//! Numbers of a service's webhooks, for operators.

use kernel::{Position, TenantId};
use sqlx::{PgPool, Row};
use uuid::Uuid;

use crate::positions::Positions;

/// Numbers of all endpoints of a service, of all tenants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndpointCounts {
    /// Enabled endpoints.
    pub enabled: u64,
    /// Enabled endpoints whose last attempt failed.
    pub failing: u64,
    /// Disabled endpoints.
    pub disabled: u64,
    /// The largest lag, in positions of the log, among endpoints that are neither failing nor paused.
    pub lag: u64,
    /// The largest lag among all enabled endpoints that are not paused.
    pub longest_lag: u64,
    /// Aggregates with parked events, summed over all endpoints.
    pub parked: u64,
}

/// The numbers, where nothing is delivered to the endpoints of tenants that are `paused`.
#[expect(clippy::disallowed_methods, reason = "the tenant of an endpoint that an authenticated caller set up")]
pub(crate) async fn counts(
    pool: &PgPool,
    positions: &Positions,
    paused: impl Fn(TenantId) -> bool,
) -> Result<EndpointCounts, sqlx::Error> {
    // Reads all endpoints, every few seconds: each tenant has few.
    let rows = sqlx::query(concat!(
        "SELECT e.tenant_id, e.endpoint_id, e.enabled, c.attempts > 0 AS failing, c.position, h.position AS head
         FROM webhooks.endpoints e JOIN webhooks.cursors c USING (tenant_id, endpoint_id), ",
        eventstore::log_head!()
    ))
    .fetch_all(pool)
    .await?;
    // Uses the partial index of parked letters of all consumers; there are few.
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
        let failing: bool = row.try_get("failing")?;
        counts.failing += u64::from(failing);
        if paused(TenantId::vouched(row.try_get("tenant_id")?)) {
            continue;
        }
        let stored = Position::from_i64(row.try_get("position")?);
        let position = positions.of(row.try_get::<Uuid, _>("endpoint_id")?).map_or(stored, |here| here.max(stored));
        let lag = Position::from_i64(row.try_get("head")?).0.saturating_sub(position.0);
        counts.longest_lag = counts.longest_lag.max(lag);
        if !failing {
            counts.lag = counts.lag.max(lag);
        }
    }
    Ok(counts)
}
