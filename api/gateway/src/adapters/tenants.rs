//! Looks up tenants in the directory, with a cache.

use std::hash::Hash;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use auth_api::authority::{KnownTenant, Tenants};
use directory::{Directory, DirectoryError, Tenant};
use kernel::{Refusal, TenantId, is_slug};
use quick_cache::sync::Cache;

use crate::auth::suspension;

/// The number of entries in each cache.
const CACHE_CAPACITY: usize = 10_000;

/// How long a tenant is cached.
const KNOWN_FOR: Duration = Duration::from_secs(30);

/// How long it is cached that a tenant does not exist. It is short, because anybody can request any name.
const UNKNOWN_FOR: Duration = Duration::from_secs(2);

/// The directory's answers, each with its time.
type TenantCache<K> = Cache<K, (Option<KnownTenant>, Instant)>;

/// The tenants of the directory. Short names, which strangers can choose, and ids have separate caches: the directory accepts either in
/// a lookup, and a short name that looks like an id must not hide the tenant with that id.
pub struct CachedTenants {
    directory: Directory,
    by_slug: TenantCache<String>,
    by_id: TenantCache<TenantId>,
}

impl CachedTenants {
    /// The tenants of `directory`.
    pub fn new(directory: Directory) -> Self {
        Self { directory, by_slug: Cache::new(CACHE_CAPACITY), by_id: Cache::new(CACHE_CAPACITY) }
    }

    async fn find<K: Clone + Eq + Hash>(
        &self,
        cache: &TenantCache<K>,
        key: K,
        name: &str,
        is_it: impl Fn(&Tenant) -> bool,
    ) -> Result<Option<KnownTenant>, Refusal> {
        if let Some((known, since)) = cache.get(&key)
            && since.elapsed() < if known.is_some() { KNOWN_FOR } else { UNKNOWN_FOR }
        {
            return Ok(known);
        }
        let found = match self.directory.find_here(name).await {
            Ok(tenant) => Some(tenant).filter(is_it),
            Err(DirectoryError::Unknown(_)) => None,
            // Not cached, because the tenant may be moving here.
            Err(DirectoryError::Elsewhere(_)) => return Err(suspension::elsewhere()),
            Err(error) => {
                tracing::warn!(%error, "the directory of tenants can't be asked");
                let detail = "the directory of tenants does not answer; try again";
                return Err(Refusal::unavailable("directory_unavailable", detail));
            }
        };
        let known = found.map(|tenant| KnownTenant { id: tenant.tenant_id, slug: tenant.slug, name: tenant.name });
        cache.insert(key, (known.clone(), Instant::now()));
        Ok(known)
    }
}

#[async_trait]
impl Tenants for CachedTenants {
    async fn by_slug(&self, slug: &str) -> Result<Option<KnownTenant>, Refusal> {
        // Not a short name, so no lookup is needed.
        if !is_slug(slug) {
            return Ok(None);
        }
        self.find(&self.by_slug, slug.to_owned(), slug, |tenant| tenant.slug == slug).await
    }

    async fn by_id(&self, tenant: TenantId) -> Result<Option<KnownTenant>, Refusal> {
        self.find(&self.by_id, tenant, &tenant.to_string(), |found| found.tenant_id == tenant).await
    }
}
