//! A cache of which tenant is in which cell, for the front process of several cells. A tenant is looked up once; later changes are polled.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use eventstore::within;
use kernel::is_slug;
use quick_cache::sync::Cache;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::error::DirectoryError;
use crate::placements::{PlacementChange, Placements};
use crate::tenants::ANSWER;

/// How often changes are polled.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// The number of tenants in the cache.
const CACHE_SIZE: usize = 100_000;

/// How long it is cached that a tenant does not exist, because anyone may send requests with any name.
const UNKNOWN_TTL: Duration = Duration::from_secs(2);

/// The tenant that a request names. It is not verified here: it only selects the cell, and the cell verifies it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TenantHint {
    /// The id in its token.
    Id(Uuid),
    /// The short name in its path.
    Slug(String),
    /// The request names no tenant: all cells give the same answer.
    Absent,
}

/// The tenant and cell of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The tenant.
    pub tenant: Uuid,
    /// Its cell; `None` if none was ever recorded.
    pub cell: Option<String>,
}

/// The cache of cells by tenant, filled from [`Placements`].
pub struct CellMap {
    placements: Placements,
    /// The cells of tenants.
    known: Cache<Uuid, Option<String>>,
    /// The tenants of short names.
    names: Cache<String, Uuid>,
    /// Ids and short names of no tenant, and when they were looked up.
    unknown: Cache<String, Instant>,
    /// The position up to which changes of placements are applied; negative before the first query.
    head: AtomicI64,
}

impl CellMap {
    /// An empty cache.
    pub fn new(placements: Placements) -> Self {
        let (known, names, unknown) = (Cache::new(CACHE_SIZE), Cache::new(CACHE_SIZE), Cache::new(CACHE_SIZE / 10));
        Self { placements, known, names, unknown, head: AtomicI64::new(-1) }
    }

    /// Polls and applies changes until `shutdown`.
    pub async fn follow(&self, shutdown: CancellationToken) {
        let mut warned = false;
        while !shutdown.is_cancelled() {
            match self.catch_up().await {
                Ok(()) => warned = false,
                Err(error) => {
                    if !warned {
                        tracing::warn!(%error, "the directory does not say who moved; requests go where tenants were last known");
                    }
                    warned = true;
                }
            }
            shutdown.run_until_cancelled(tokio::time::sleep(POLL_INTERVAL)).await;
        }
    }

    /// Applies the changes since the last call. The first call only reads the current position.
    ///
    /// # Errors
    /// When the directory can't be queried.
    pub async fn catch_up(&self) -> Result<(), sqlx::Error> {
        let known = self.head.load(Ordering::Acquire);
        if known < 0 {
            // No tenant is cached before this, so only later changes matter.
            self.head.store(within(ANSWER, self.placements.head()).await?, Ordering::Release);
            return Ok(());
        }
        let (changes, head) = within(ANSWER, self.placements.changes(known)).await?;
        // Stored first, so that concurrent look-ups notice that their answer may be outdated.
        self.head.store(head, Ordering::Release);
        for change in changes {
            match change {
                PlacementChange::Arrived { tenant, cell } => {
                    tracing::info!(%tenant, cell, "a tenant lives in another cell now");
                    self.known.insert(tenant, Some(cell));
                }
                PlacementChange::Gone { tenant, slug } => {
                    tracing::info!(%tenant, slug, "a tenant is no more");
                    self.forget(&slug, Some(tenant));
                }
            }
        }
        Ok(())
    }

    /// Removes a name and its tenant from the cache.
    fn forget(&self, name: &str, tenant: Option<Uuid>) {
        self.names.remove(name);
        if let Some(tenant) = tenant {
            self.known.remove(&tenant);
        }
    }

    /// Whether the directory has ever been queried successfully.
    pub fn is_known(&self) -> bool {
        self.head.load(Ordering::Acquire) >= 0
    }

    /// The destination of a request; `None` if there is no such tenant, which any cell can answer.
    ///
    /// # Errors
    /// When the directory has to be queried and does not answer.
    pub async fn find(&self, hint: &TenantHint) -> Result<Option<Destination>, DirectoryError> {
        let (name, tenant) = match hint {
            TenantHint::Absent => return Ok(None),
            // It can't be anybody's, and may be as long as a path.
            TenantHint::Slug(slug) if !is_slug(slug) => return Ok(None),
            TenantHint::Id(tenant) => (tenant.to_string(), Some(*tenant)),
            TenantHint::Slug(slug) => (slug.clone(), self.names.get(slug)),
        };
        if let Some(tenant) = tenant
            && let Some(cell) = self.known.get(&tenant)
        {
            return Ok(Some(Destination { tenant, cell }));
        }
        if self.unknown.get(&name).is_some_and(|since| since.elapsed() < UNKNOWN_TTL) {
            return Ok(None);
        }
        let mut tenant = tenant;
        loop {
            let head = self.head.load(Ordering::Acquire);
            let Some((found, cell)) = self.placements.find(&name).await? else {
                // The tenant may have been deleted, and cached by another request just before.
                self.forget(&name, tenant);
                self.unknown.insert(name, Instant::now());
                return Ok(None);
            };
            tenant = Some(found);
            let tenant = found;
            if let TenantHint::Slug(slug) = hint {
                self.names.insert(slug.clone(), tenant);
            }
            self.known.insert(tenant, cell.clone());
            // If changes were applied during the query, the insertions above may have overwritten newer entries: query again.
            if head >= 0 && head == self.head.load(Ordering::Acquire) {
                return Ok(Some(Destination { tenant, cell }));
            }
            if head < 0 {
                // Changes are not polled yet, so the answer must not be cached.
                self.known.remove(&tenant);
                return Ok(Some(Destination { tenant, cell }));
            }
        }
    }
}
