//! The registry of open feeds: limits them per tenant, and tells their number and progress per service.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use kernel::{Position, Refusal, Service, TenantId};

/// The open feeds of this process, by tenant.
#[derive(Clone, Default)]
pub struct RunningFeeds(Arc<Mutex<HashMap<TenantId, Vec<Arc<Progress>>>>>);

/// The position that a feed has reached in each service.
pub struct Progress(Vec<(Service, AtomicU64)>);

/// The registration of an open feed. It ends when this is dropped.
pub struct RunningFeed {
    running_feeds: RunningFeeds,
    tenant: TenantId,
    progress: Arc<Progress>,
}

impl RunningFeeds {
    /// Registers a new feed of a tenant.
    ///
    /// # Errors
    /// `too_many_feeds` if the tenant already has `max` open feeds.
    pub fn begin(&self, tenant: TenantId, max: usize, services: &[Service]) -> Result<RunningFeed, Refusal> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let running = all.entry(tenant).or_default();
        if running.len() >= max {
            return Err(Refusal::rate_limited(
                "too_many_feeds",
                format!("this tenant already has {max} open feeds, the most that are allowed at a time; close one or share it"),
            )
            .with("allowed", max));
        }
        let progress = Arc::new(Progress(services.iter().map(|service| (*service, AtomicU64::new(0))).collect()));
        running.push(progress.clone());
        Ok(RunningFeed { running_feeds: self.clone(), tenant, progress })
    }

    /// The number of feeds that follow a service, and the position of the one that is furthest behind.
    pub fn of(&self, service: Service) -> (usize, Option<Position>) {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let positions = all.values().flatten().flat_map(|progress| &progress.0).filter(|(of, _)| *of == service);
        let positions: Vec<u64> = positions.map(|(_, position)| position.load(Ordering::Relaxed)).collect();
        (positions.len(), positions.into_iter().min().map(Position))
    }
}

impl RunningFeed {
    /// Records the position that the feed has reached in a service.
    pub fn at(&self, service: Service, position: Position) {
        if let Some((_, progress)) = self.progress.0.iter().find(|(of, _)| *of == service) {
            progress.fetch_max(position.0, Ordering::Relaxed);
        }
    }
}

impl Drop for RunningFeed {
    fn drop(&mut self) {
        let mut all = self.running_feeds.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = all.get_mut(&self.tenant) {
            running.retain(|progress| !Arc::ptr_eq(progress, &self.progress));
            if running.is_empty() {
                all.remove(&self.tenant);
            }
        }
    }
}
