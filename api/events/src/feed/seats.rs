//! How many feeds run: bounded by tenant, and shown.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use kernel::{Position, Refusal, Service, TenantId};

/// The feeds that run in this process.
#[derive(Clone, Default)]
pub struct Seats(Arc<Mutex<HashMap<TenantId, Vec<Arc<Standing>>>>>);

/// How far a feed has come, by service.
pub struct Standing(Vec<(Service, AtomicU64)>);

/// A running feed; it makes room when it is dropped.
pub struct Seat {
    seats: Seats,
    tenant: TenantId,
    standing: Arc<Standing>,
}

impl Seats {
    /// A place for one more feed of a tenant, if there are fewer than `most`.
    pub fn take(&self, tenant: TenantId, most: usize, services: &[Service]) -> Result<Seat, Refusal> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let running = all.entry(tenant).or_default();
        if running.len() >= most {
            return Err(Refusal::rate_limited(
                "too_many_feeds",
                format!("{most} feeds of this tenant run already; allowed are {most} at a time: end one, or share it"),
            )
            .with("allowed", most));
        }
        let standing = Arc::new(Standing(services.iter().map(|service| (*service, AtomicU64::new(0))).collect()));
        running.push(standing.clone());
        Ok(Seat { seats: self.clone(), tenant, standing })
    }

    /// How many feeds follow a service, and where the last of them is.
    pub fn of(&self, service: Service) -> (usize, Option<Position>) {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let positions = all.values().flatten().flat_map(|standing| &standing.0).filter(|(of, _)| *of == service);
        let positions: Vec<u64> = positions.map(|(_, position)| position.load(Ordering::Relaxed)).collect();
        (positions.len(), positions.into_iter().min().map(Position))
    }
}

impl Seat {
    /// The feed has come this far.
    pub fn at(&self, service: Service, position: Position) {
        if let Some((_, standing)) = self.standing.0.iter().find(|(of, _)| *of == service) {
            standing.fetch_max(position.0, Ordering::Relaxed);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut all = self.seats.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = all.get_mut(&self.tenant) {
            running.retain(|standing| !Arc::ptr_eq(standing, &self.standing));
            if running.is_empty() {
                all.remove(&self.tenant);
            }
        }
    }
}
