//! The directory's table of the domains that tenants have verified.

use chrono::{DateTime, Utc};
use kernel::TenantId;
use uuid::Uuid;

use crate::{Directory, DirectoryError};

impl Directory {
    /// Records that a tenant has verified a domain, where `proof` is the claim in its DNS record. False if another tenant holds the domain
    /// and its claim is among those found in DNS (`shown`).
    pub async fn hold(
        &self,
        domain: &str,
        (tenant, proof): (TenantId, Uuid),
        shown: &[Uuid],
        at: DateTime<Utc>,
    ) -> Result<bool, DirectoryError> {
        let held: Option<bool> = sqlx::query_scalar(
            "INSERT INTO domains AS d (domain, tenant_id, claim_id, verified_at) VALUES ($1, $2, $3, $4)
             ON CONFLICT (domain) DO UPDATE
             SET tenant_id = excluded.tenant_id, claim_id = excluded.claim_id, verified_at = excluded.verified_at
             WHERE d.tenant_id = excluded.tenant_id OR NOT d.claim_id = ANY ($5)
             RETURNING true",
        )
        .bind(domain)
        .bind(tenant.uuid())
        .bind(proof)
        .bind(at)
        .bind(shown)
        .fetch_optional(self.pool())
        .await?;
        Ok(held.is_some())
    }

    /// Removes a domain of a tenant, if it was verified by one of these claims.
    pub async fn release_domain(&self, domain: &str, tenant: TenantId, proofs: &[Uuid]) -> Result<(), DirectoryError> {
        sqlx::query("DELETE FROM domains WHERE domain = $1 AND tenant_id = $2 AND claim_id = ANY ($3)")
            .bind(domain)
            .bind(tenant.uuid())
            .bind(proofs)
            .execute(self.pool())
            .await?;
        Ok(())
    }

    /// Whether a tenant holds a domain.
    pub async fn holds(&self, domain: &str, tenant: TenantId) -> Result<bool, DirectoryError> {
        let holds = sqlx::query_scalar("SELECT EXISTS (SELECT FROM domains WHERE domain = $1 AND tenant_id = $2)")
            .bind(domain)
            .bind(tenant.uuid())
            .fetch_one(self.pool())
            .await?;
        Ok(holds)
    }
}
