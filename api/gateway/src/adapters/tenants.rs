//! Which tenants there are, as requests ask it: the directory, remembered for a while.

use std::hash::Hash;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use auth_api::authority::{KnownTenant, Tenants};
use directory::{Directory, DirectoryError, Tenant};
use kernel::{Refusal, TenantId, is_slug};
use quick_cache::sync::Cache;

use crate::auth::suspension;

/// How many are remembered.
const REMEMBERED: usize = 10_000;

/// How long a tenant is remembered.
const KNOWN: Duration = Duration::from_secs(30);

/// How long it is remembered that there is none: strangers may ask for any name.
const UNKNOWN: Duration = Duration::from_secs(2);

/// What the directory said, and when.
type Remembered<K> = Cache<K, (Option<KnownTenant>, Instant)>;

/// The tenants of the directory. What is remembered of short names, which strangers choose, and of ids are two things: the directory
/// takes either where it is asked, and a name that looks like an id must not hide the tenant that has it.
pub struct CachedTenants {
    directory: Directory,
    by_slug: Remembered<String>,
    by_id: Remembered<TenantId>,
}

impl CachedTenants {
    /// Those of `directory`.
    pub fn new(directory: Directory) -> Self {
        Self { directory, by_slug: Cache::new(REMEMBERED), by_id: Cache::new(REMEMBERED) }
    }

    async fn find<K: Clone + Eq + Hash>(
        &self,
        remembered: &Remembered<K>,
        key: K,
        name: &str,
        is_it: impl Fn(&Tenant) -> bool,
    ) -> Result<Option<KnownTenant>, Refusal> {
        if let Some((known, since)) = remembered.get(&key)
            && since.elapsed() < if known.is_some() { KNOWN } else { UNKNOWN }
        {
            return Ok(known);
        }
        let found = match self.directory.find_here(name).await {
            Ok(tenant) => Some(tenant).filter(is_it),
            Err(DirectoryError::Unknown(_)) => None,
            // Not remembered: it may be on its way here.
            Err(DirectoryError::Elsewhere(_)) => return Err(suspension::elsewhere()),
            Err(error) => {
                tracing::warn!(%error, "the directory of tenants can't be asked");
                let detail = "the directory of tenants does not answer; try again";
                return Err(Refusal::unavailable("directory_unavailable", detail));
            }
        };
        let known = found.map(|tenant| KnownTenant { id: tenant.tenant_id, slug: tenant.slug, name: tenant.name });
        remembered.insert(key, (known.clone(), Instant::now()));
        Ok(known)
    }
}

#[async_trait]
impl Tenants for CachedTenants {
    async fn by_slug(&self, slug: &str) -> Result<Option<KnownTenant>, Refusal> {
        // Nothing to ask the directory about.
        if !is_slug(slug) {
            return Ok(None);
        }
        self.find(&self.by_slug, slug.to_owned(), slug, |tenant| tenant.slug == slug).await
    }

    async fn by_id(&self, tenant: TenantId) -> Result<Option<KnownTenant>, Refusal> {
        self.find(&self.by_id, tenant, &tenant.to_string(), |found| found.tenant_id == tenant).await
    }
}
