//! Which tenants there are, as requests ask it: the directory, remembered for a while.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use auth_api::authority::{KnownTenant, Tenants};
use kernel::{Refusal, TenantId};
use quick_cache::sync::Cache;

use crate::directory::{Directory, DirectoryError, Tenant};

/// How many are remembered.
const REMEMBERED: usize = 10_000;

/// How long a tenant is remembered.
const KNOWN: Duration = Duration::from_secs(30);

/// How long it is remembered that there is none: strangers may ask for any name.
const UNKNOWN: Duration = Duration::from_secs(2);

/// The tenants of the directory.
pub struct DirectoryOfTenants {
    directory: Directory,
    remembered: Cache<String, (Option<KnownTenant>, Instant)>,
}

impl DirectoryOfTenants {
    /// Those of `directory`.
    pub fn new(directory: Directory) -> Self {
        Self { directory, remembered: Cache::new(REMEMBERED) }
    }

    async fn find(&self, name: &str, is_it: impl Fn(&Tenant) -> bool) -> Result<Option<KnownTenant>, Refusal> {
        // Longer than any slug or id: nothing to ask the directory about.
        if name.len() > 40 {
            return Ok(None);
        }
        if let Some((known, since)) = self.remembered.get(name)
            && since.elapsed() < if known.is_some() { KNOWN } else { UNKNOWN }
        {
            return Ok(known);
        }
        let found = match self.directory.find(name).await {
            Ok(tenant) => Some(tenant).filter(is_it),
            Err(DirectoryError::Unknown(_)) => None,
            Err(error) => {
                tracing::warn!(%error, "the directory of tenants can't be asked");
                let detail = "the directory of tenants does not answer; try again";
                return Err(Refusal::unavailable("directory_unavailable", detail));
            }
        };
        let known = found.map(|tenant| KnownTenant { id: tenant.tenant_id, slug: tenant.slug, name: tenant.name });
        self.remembered.insert(name.to_owned(), (known.clone(), Instant::now()));
        Ok(known)
    }
}

#[async_trait]
impl Tenants for DirectoryOfTenants {
    async fn by_slug(&self, slug: &str) -> Result<Option<KnownTenant>, Refusal> {
        self.find(slug, |tenant| tenant.slug == slug).await
    }

    async fn by_id(&self, tenant: TenantId) -> Result<Option<KnownTenant>, Refusal> {
        self.find(&tenant.to_string(), |found| found.tenant_id == tenant).await
    }
}
