//! Moves the seals of a tenant's history to the other cell. They contain no positions, so they are valid there unchanged.

use sqlx::Connection;

use super::{Result, Transfer};
use crate::seals::rows;

impl Transfer {
    /// Copies the seals that the new cell lacks. Nothing is sealed in the new cell while the tenant is arriving, and nothing in the old one
    /// once it is paused: so the last round copies all that will exist.
    pub(super) async fn seals(&mut self) -> Result<()> {
        let (tenant, service) = (self.tenant.uuid(), self.service.name());
        // Waits for a signing transaction that began before the pause.
        let mut signing = self.from.connection.begin().await?;
        rows::lock_position(&mut signing).await?;
        signing.commit().await?;
        let last: i64 = sqlx::query_scalar("SELECT coalesce(max(size), 0) FROM log.seals WHERE tenant_id = $1")
            .bind(tenant)
            .fetch_one(&mut self.to.connection)
            .await?;
        let mut last = last.cast_unsigned();
        loop {
            let seals = rows::page(&mut self.from.connection, (tenant, service), last, rows::SEALS_OF_A_PAGE).await?;
            let Some(end) = seals.last() else { return Ok(()) };
            last = end.size;
            rows::insert(&mut self.to.connection, &seals).await?;
        }
    }
}
