//! A tenant's claims, the keys of persons among them, from one cell to the other.

use std::collections::{BTreeMap, BTreeSet};

use kernel::TenantId;
use sqlx::Connection;
use sqlx::postgres::PgConnection;

use super::{ROWS, Result, Transfer};
use crate::backup::snapshot::claim;
use crate::backup::{StoredClaim, write};

/// Claims of a tenant.
type Claims = BTreeSet<StoredClaim>;

impl Transfer {
    /// Makes all claims in the new cell those of the old one, page by page.
    pub(super) async fn all_claims(&mut self) -> Result<()> {
        let mut kinds = kinds_of(&mut self.from.connection, self.tenant).await?;
        kinds.extend(kinds_of(&mut self.to.connection, self.tenant).await?);
        for kind in kinds {
            let mut after = Vec::new();
            loop {
                let here = page(&mut self.from.connection, self.tenant, &kind, &after).await?;
                // The last page is as long as what is left there.
                let to = (here.len() == ROWS).then(|| here.last().map(|claim| claim.key.to_vec())).flatten();
                let there = between(&mut self.to.connection, self.tenant, &kind, &after, to.as_deref()).await?;
                self.claims_become(&here, &there).await?;
                match to {
                    Some(last) => after = last,
                    None => break,
                }
            }
        }
        Ok(())
    }

    /// The same for those that were touched.
    pub(super) async fn touched_claims(&mut self) -> Result<()> {
        let (here, there) = self.both_claims().await?;
        self.claims_become(&here, &there).await
    }

    /// A claim that the last round looked at and that is not the same on both sides.
    pub(super) async fn untrue_claim(&mut self) -> Result<Option<String>> {
        let (here, there) = self.both_claims().await?;
        let untrue = here.symmetric_difference(&there).next();
        Ok(untrue.map(|claim| format!("the claim {} of {} is not the same", hex::encode(claim.key), claim.kind)))
    }

    async fn both_claims(&mut self) -> Result<(Claims, Claims)> {
        let touched: Vec<_> = self.touched.claims.iter().cloned().collect();
        let (mut here, mut there) = (Claims::new(), Claims::new());
        for keys in touched.chunks(ROWS) {
            here.extend(these(&mut self.from.connection, self.tenant, keys).await?);
            there.extend(these(&mut self.to.connection, self.tenant, keys).await?);
        }
        Ok((here, there))
    }

    async fn claims_become(&mut self, here: &Claims, there: &Claims) -> Result<()> {
        let mut stale: BTreeMap<&str, Vec<&[u8]>> = BTreeMap::new();
        for StoredClaim { kind, key, .. } in there.difference(here) {
            stale.entry(kind).or_default().push(key.as_slice());
        }
        let missing: Vec<_> = here.difference(there).cloned().collect();
        if stale.is_empty() && missing.is_empty() {
            return Ok(());
        }
        let mut transaction = self.to.connection.begin().await?;
        for (kind, keys) in stale {
            // One by one along the primary key, as below.
            sqlx::query(
                "DELETE FROM log.claims WHERE ctid = ANY (ARRAY(
                     SELECT c.ctid FROM unnest($3::bytea[]) AS k (key)
                     CROSS JOIN LATERAL (SELECT ctid FROM log.claims WHERE tenant_id = $1 AND kind = $2 AND key = k.key OFFSET 0) c))",
            )
            .bind(self.tenant.uuid())
            .bind(kind)
            .bind(keys)
            .execute(&mut *transaction)
            .await?;
        }
        for rows in missing.chunks(ROWS) {
            write::claims(&mut transaction, rows).await?;
        }
        transaction.commit().await?;
        Ok(())
    }
}

async fn kinds_of(connection: &mut PgConnection, tenant: TenantId) -> Result<BTreeSet<String>> {
    let kinds = sqlx::query_scalar("SELECT DISTINCT kind FROM log.claims WHERE tenant_id = $1").bind(tenant.uuid());
    Ok(kinds.fetch_all(connection).await?.into_iter().collect())
}

/// The next claims of a kind after a key, along the primary key.
async fn page(connection: &mut PgConnection, tenant: TenantId, kind: &str, after: &[u8]) -> Result<Claims> {
    let rows = sqlx::query(
        "SELECT tenant_id, kind, key, holder FROM log.claims WHERE tenant_id = $1 AND kind = $2 AND key > $3 ORDER BY key LIMIT $4",
    )
    .bind(tenant.uuid())
    .bind(kind)
    .bind(after)
    .bind(i64::try_from(ROWS).unwrap_or(i64::MAX))
    .fetch_all(connection)
    .await?;
    Ok(rows.iter().map(claim).collect::<std::result::Result<_, _>>()?)
}

/// Those after a key, up to another one; none: to the end.
async fn between(
    connection: &mut PgConnection,
    tenant: TenantId,
    kind: &str,
    after: &[u8],
    to: Option<&[u8]>,
) -> Result<Claims> {
    let rows = sqlx::query(
        "SELECT tenant_id, kind, key, holder FROM log.claims
         WHERE tenant_id = $1 AND kind = $2 AND key > $3 AND ($4::bytea IS NULL OR key <= $4)",
    )
    .bind(tenant.uuid())
    .bind(kind)
    .bind(after)
    .bind(to)
    .fetch_all(connection)
    .await?;
    Ok(rows.iter().map(claim).collect::<std::result::Result<_, _>>()?)
}

/// Those of these kinds and keys.
async fn these(connection: &mut PgConnection, tenant: TenantId, keys: &[(String, Vec<u8>)]) -> Result<Claims> {
    let rows = sqlx::query(
        "SELECT c.tenant_id, c.kind, c.key, c.holder
         FROM unnest($2::text[], $3::bytea[]) AS k (kind, key)
         -- One by one along the primary key, however few or many the planner takes them for.
         CROSS JOIN LATERAL (SELECT * FROM log.claims WHERE tenant_id = $1 AND kind = k.kind AND key = k.key OFFSET 0) c",
    )
    .bind(tenant.uuid())
    .bind(keys.iter().map(|(kind, _)| kind.as_str()).collect::<Vec<_>>())
    .bind(keys.iter().map(|(_, key)| key.as_slice()).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    Ok(rows.iter().map(claim).collect::<std::result::Result<_, _>>()?)
}
