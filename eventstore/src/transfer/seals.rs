//! The seals of a tenant's history, from one cell to the other: they say nothing of positions, so they hold there as they are.

use sqlx::{Connection, Row};

use super::{ROWS, Result, Transfer};

impl Transfer {
    /// Copies those that the new cell has not. While the tenant is arriving nobody signs there, and once it is paused nobody does here: so
    /// the last round brings all there are.
    pub(super) async fn seals(&mut self) -> Result<()> {
        let tenant = self.tenant.uuid();
        // Whoever was signing when the tenant was paused is done then.
        let mut turn = self.from.connection.begin().await?;
        sqlx::query("SELECT FROM log.sealer FOR UPDATE").execute(&mut *turn).await?;
        turn.commit().await?;
        let rows = i64::try_from(ROWS).unwrap_or(i64::MAX);
        let mut last: i64 = sqlx::query_scalar("SELECT coalesce(max(size), 0) FROM log.seals WHERE tenant_id = $1")
            .bind(tenant)
            .fetch_one(&mut self.to.connection)
            .await?;
        loop {
            let found = sqlx::query(
                "SELECT size, root, sealed_at, key, previous, signature FROM log.seals
                 WHERE tenant_id = $1 AND size > $2 ORDER BY size LIMIT $3",
            )
            .bind(tenant)
            .bind(last)
            .bind(rows)
            .fetch_all(&mut self.from.connection)
            .await?;
            let Some(end) = found.last() else { return Ok(()) };
            last = end.try_get(0)?;
            let (mut sizes, mut roots, mut times) = (Vec::new(), Vec::new(), Vec::new());
            let (mut keys, mut previous, mut signatures) = (Vec::new(), Vec::new(), Vec::new());
            for row in &found {
                sizes.push(row.try_get::<i64, _>(0)?);
                roots.push(row.try_get::<Vec<u8>, _>(1)?);
                times.push(row.try_get::<chrono::DateTime<chrono::Utc>, _>(2)?);
                keys.push(row.try_get::<String, _>(3)?);
                previous.push(row.try_get::<Vec<u8>, _>(4)?);
                signatures.push(row.try_get::<Vec<u8>, _>(5)?);
            }
            sqlx::query(
                "INSERT INTO log.seals (tenant_id, size, root, sealed_at, key, previous, signature)
                 SELECT $1, s.* FROM unnest($2::bigint[], $3::bytea[], $4::timestamptz[], $5::text[], $6::bytea[], $7::bytea[]) s",
            )
            .bind(tenant)
            .bind(sizes)
            .bind(roots)
            .bind(times)
            .bind(keys)
            .bind(previous)
            .bind(signatures)
            .execute(&mut self.to.connection)
            .await?;
        }
    }
}
