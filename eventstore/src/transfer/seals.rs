//! The seals of a tenant's history, from one cell to the other: they say nothing of positions, so they hold there as they are.

use sqlx::Connection;

use super::{Result, Transfer};
use crate::seals::rows;

impl Transfer {
    /// Copies those that the new cell has not. While the tenant is arriving nobody signs there, and once it is paused nobody does here: so
    /// the last round brings all there are.
    pub(super) async fn seals(&mut self) -> Result<()> {
        let (tenant, service) = (self.tenant.uuid(), self.service.name());
        // Whoever was signing when the tenant was paused is done then.
        let mut signing = self.from.connection.begin().await?;
        rows::turn(&mut signing).await?;
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
