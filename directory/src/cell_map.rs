//! Which tenant lives in which cell, as a front knows it: looked up once, then told of every change.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use quick_cache::sync::Cache;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::placements::{PlacementChange, Placements};

/// How often it is asked what changed.
const LOOK: Duration = Duration::from_millis(200);

/// How many tenants are remembered.
const REMEMBERED: usize = 100_000;

/// How long it is remembered that there is no such tenant: strangers may ask for any.
const UNKNOWN: Duration = Duration::from_secs(2);

/// What a request says of whose it is. It is not verified: it only chooses the cell, and the cell verifies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TenantHint {
    /// Its token says an id.
    Id(Uuid),
    /// Its path says a short name.
    Slug(String),
    /// Nothing does: any cell will answer the same.
    Absent,
}

/// Where a request is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The tenant, as far as it is known.
    pub tenant: Uuid,
    /// Its cell; none: none was ever noted.
    pub cell: Option<String>,
}

/// The map, as far as it was asked for. It holds what [`Placements`] say.
pub struct CellMap {
    placements: Placements,
    /// Where tenants live.
    known: Cache<Uuid, Option<String>>,
    /// Whose short names are.
    names: Cache<String, Uuid>,
    /// What is nobody's id or short name, since when.
    unknown: Cache<String, Instant>,
    /// How many changes were taken over; negative: it is not known how many there are.
    head: AtomicI64,
}

impl CellMap {
    /// One that knows nothing yet.
    pub fn new(placements: Placements) -> Self {
        let (known, names, unknown) = (Cache::new(REMEMBERED), Cache::new(REMEMBERED), Cache::new(REMEMBERED / 10));
        Self { placements, known, names, unknown, head: AtomicI64::new(-1) }
    }

    /// Takes changes over until `shutdown`.
    pub async fn follow(&self, shutdown: CancellationToken) {
        let mut complained = false;
        while !shutdown.is_cancelled() {
            match self.catch_up().await {
                Ok(()) => complained = false,
                Err(error) => {
                    if !complained {
                        tracing::warn!(%error, "the directory does not say who moved; requests go where tenants were last known");
                    }
                    complained = true;
                }
            }
            shutdown.run_until_cancelled(tokio::time::sleep(LOOK)).await;
        }
    }

    /// Takes over what changed.
    ///
    /// # Errors
    /// When the directory can't be asked.
    pub async fn catch_up(&self) -> Result<(), sqlx::Error> {
        let known = self.head.load(Ordering::Acquire);
        if known < 0 {
            // Before the first look-up: what changes from then on is seen.
            self.head.store(self.placements.head().await?, Ordering::Release);
            return Ok(());
        }
        let (changes, head) = self.placements.changes(known).await?;
        // First of all: whoever looks up meanwhile then knows that their answer may be old.
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

    /// Forgets a name, and whose it was: whoever asks next looks it up.
    fn forget(&self, name: &str, tenant: Option<Uuid>) {
        self.names.remove(name);
        if let Some(tenant) = tenant {
            self.known.remove(&tenant);
        }
    }

    /// Whether the directory was ever heard of.
    pub fn is_known(&self) -> bool {
        self.head.load(Ordering::Acquire) >= 0
    }

    /// Where a request leads; none: there is no such tenant, and any cell can say so.
    ///
    /// # Errors
    /// When the directory has to be asked, and can't be.
    pub async fn find(&self, hint: &TenantHint) -> Result<Option<Destination>, sqlx::Error> {
        let (name, tenant) = match hint {
            TenantHint::Absent => return Ok(None),
            TenantHint::Id(tenant) => (tenant.to_string(), Some(*tenant)),
            TenantHint::Slug(slug) => (slug.clone(), self.names.get(slug)),
        };
        if let Some(tenant) = tenant
            && let Some(cell) = self.known.get(&tenant)
        {
            return Ok(Some(Destination { tenant, cell }));
        }
        if self.unknown.get(&name).is_some_and(|since| since.elapsed() < UNKNOWN) {
            return Ok(None);
        }
        let mut tenant = tenant;
        loop {
            let head = self.head.load(Ordering::Acquire);
            let Some((found, cell)) = self.placements.find(&name).await? else {
                // Gone while it was asked for, it may have been remembered just now.
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
            // What changed while it was asked may have been overwritten just now: then the next answer is newer.
            if head >= 0 && head == self.head.load(Ordering::Acquire) {
                return Ok(Some(Destination { tenant, cell }));
            }
            if head < 0 {
                // Nobody follows yet: this answer holds for this request only.
                self.known.remove(&tenant);
                return Ok(Some(Destination { tenant, cell }));
            }
        }
    }
}
