//! Tenants whose keys are wrapped by a lost master key. A restore leaves them out, except for their events: these keep their positions,
//! because positions are dense, but the encrypted data in them can't be read.

use std::collections::BTreeSet;

use anyhow::Result;
use directory::Tenant;
use kernel::TenantId;
use serde_json::{Value, json};
use uuid::Uuid;

use super::archive::rows::{ClaimRow, TenantRow};
use super::archive::{Archive, ServicePart};

/// The tenants that a restore leaves out. Empty unless a lost master key was named.
#[derive(Debug, Default)]
pub struct ExcludedTenants {
    keys: Vec<String>,
    ids: BTreeSet<TenantId>,
    /// The excluded tenants that the backup's directory lists.
    listed: Vec<Tenant>,
}

impl ExcludedTenants {
    /// The tenants whose key, in any service, is wrapped by one of these master keys.
    ///
    /// # Errors
    /// When the backup can't be read, or is altered.
    pub async fn of(archive: &Archive, keys: &[String]) -> Result<Self> {
        if keys.is_empty() {
            return Ok(Self::default());
        }
        let mut ids = BTreeSet::new();
        for log in &archive.manifest.services {
            let mut claims = archive.rows::<ClaimRow>(&log.claims);
            while let Some(batch) = claims.recv().await {
                let batch = batch?;
                let lost = batch.iter().filter(|claim| claim.wrapped_by().is_some_and(|key| keys.contains(&key)));
                ids.extend(lost.map(|claim| claim.tenant));
            }
        }
        let tenants = archive.all::<TenantRow>(&archive.manifest.directory).await?;
        let mut listed: Vec<_> = tenants.into_iter().map(|(tenant, _)| tenant).collect();
        listed.retain(|tenant| ids.contains(&tenant.tenant_id));
        Ok(Self { keys: keys.to_vec(), ids, listed })
    }

    /// Whether no tenant is excluded.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Whether this tenant is excluded.
    pub fn has(&self, tenant: TenantId) -> bool {
        self.ids.contains(&tenant)
    }

    /// The ids of all excluded tenants.
    pub fn ids(&self) -> impl Iterator<Item = TenantId> {
        self.ids.iter().copied()
    }

    /// Number of excluded tenants that the backup's directory lists.
    pub fn listed(&self) -> u64 {
        self.listed.len() as u64
    }

    /// The names or ids of the excluded tenants and the lost keys, for messages.
    pub fn why(&self) -> String {
        let name = |id: TenantId| self.slug(id).map_or_else(|| id.to_string(), str::to_owned);
        let names = self.ids().map(name).collect::<Vec<_>>().join(", ");
        format!("{names}, whose keys {} wrapped", self.keys.join(" and "))
    }

    /// The excluded tenants as JSON.
    pub fn json(&self) -> Value {
        self.ids().map(|id| json!({ "tenant_id": id, "slug": self.slug(id) })).collect()
    }

    fn slug(&self, id: TenantId) -> Option<&str> {
        self.listed.iter().find(|tenant| tenant.tenant_id == id).map(|tenant| tenant.slug.as_str())
    }

    /// What a restored log should have without the excluded tenants. The names of the remaining keys are unknown, so they are not compared.
    pub fn rest_of(&self, log: &ServicePart) -> ServicePart {
        let mut rest = log.clone();
        if self.is_empty() {
            return rest;
        }
        let is_left_out = |id: Uuid| self.ids().any(|left| left.uuid() == id);
        for tenant in rest.tenants.iter_mut().filter(|tenant| is_left_out(tenant.tenant_id)) {
            (tenant.commands, tenant.claims, tenant.decisions, tenant.seals) = (0, 0, 0, 0);
        }
        rest.tenants.retain(|tenant| tenant.events > 0 || !is_left_out(tenant.tenant_id));
        (rest.master_keys, rest.seal_keys) = (None, None);
        rest
    }
}
