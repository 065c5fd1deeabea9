//! Moves a tenant's claims, including the data subjects' keys, to the other cell.

use std::collections::{BTreeMap, BTreeSet};

use kernel::TenantId;
use sqlx::Connection;
use sqlx::postgres::PgConnection;

use super::{ROWS, Result, Transfer};
use crate::backup::snapshot::claim;
use crate::backup::{StoredClaim, write};

/// A set of claims of one tenant.
type Claims = BTreeSet<StoredClaim>;

impl Transfer {
    /// Makes the claims in the new cell equal to those of the old one, page by page.
    pub(super) async fn all_claims(&mut self) -> Result<()> {
        let mut kinds = kinds_of(&mut self.from.connection, self.tenant).await?;
        kinds.extend(kinds_of(&mut self.to.connection, self.tenant).await?);
        for kind in kinds {
            let mut after = Vec::new();
            loop {
                let here = page(&mut self.from.connection, self.tenant, &kind, &after).await?;
                // The last page has no upper bound: it covers all remaining claims of the new cell.
                let to = (here.len() == ROWS).then(|| here.last().map(|claim| claim.key.to_vec())).flatten();
                let there = between(&mut self.to.connection, self.tenant, &kind, &after, to.as_deref()).await?;
                self.sync_claims(&here, &there).await?;
                match to {
                    Some(last) => after = last,
                    None => break,
                }
            }
        }
        Ok(())
    }

    /// As [`all_claims`](Self::all_claims), for the changed claims only.
    pub(super) async fn touched_claims(&mut self) -> Result<()> {
        let (here, there) = self.both_claims().await?;
        self.sync_claims(&here, &there).await
    }

    /// A claim of the last round that differs between the two sides, if there is one.
    pub(super) async fn differing_claim(&mut self) -> Result<Option<String>> {
        let (here, there) = self.both_claims().await?;
        let differing = here.symmetric_difference(&there).next();
        Ok(differing.map(|claim| format!("the claim {} of {} is not the same", hex::encode(claim.key), claim.kind)))
    }

    async fn both_claims(&mut self) -> Result<(Claims, Claims)> {
        let touched: Vec<_> = self.touched.claims.iter().cloned().collect();
        let (mut here, mut there) = (Claims::new(), Claims::new());
        for keys in touched.chunks(ROWS) {
            here.extend(by_keys(&mut self.from.connection, self.tenant, keys).await?);
            there.extend(by_keys(&mut self.to.connection, self.tenant, keys).await?);
        }
        Ok((here, there))
    }

    async fn sync_claims(&mut self, here: &Claims, there: &Claims) -> Result<()> {
        let mut stale: BTreeMap<&str, Vec<[u8; 32]>> = BTreeMap::new();
        for StoredClaim { kind, key, .. } in there.difference(here) {
            stale.entry(kind).or_default().push(*key);
        }
        let missing: Vec<_> = here.difference(there).cloned().collect();
        if stale.is_empty() && missing.is_empty() {
            return Ok(());
        }
        let mut transaction = self.to.connection.begin().await?;
        for (kind, keys) in stale {
            write::delete_claims(&mut transaction, self.tenant, kind, &keys).await?;
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

/// The next page of claims of a kind after a key, along the primary key.
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

/// The claims after a key up to another one; `None`: to the end.
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

/// The claims with these kinds and keys.
async fn by_keys(connection: &mut PgConnection, tenant: TenantId, keys: &[(String, Vec<u8>)]) -> Result<Claims> {
    let rows = sqlx::query(
        "SELECT c.tenant_id, c.kind, c.key, c.holder
         FROM unnest($2::text[], $3::bytea[]) AS k (kind, key)
         -- Looked up one by one by the primary key, whatever number of rows the planner estimates.
         CROSS JOIN LATERAL (SELECT * FROM log.claims WHERE tenant_id = $1 AND kind = k.kind AND key = k.key OFFSET 0) c",
    )
    .bind(tenant.uuid())
    .bind(keys.iter().map(|(kind, _)| kind.as_str()).collect::<Vec<_>>())
    .bind(keys.iter().map(|(_, key)| key.as_slice()).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    Ok(rows.iter().map(claim).collect::<std::result::Result<_, _>>()?)
}
