//! How often devices ask whether they are let in.

use chrono::{DateTime, TimeDelta, Utc};
use quick_cache::sync::Cache;
use uuid::Uuid;

/// How many devices are remembered.
const REMEMBERED: usize = 10_000;

/// Remembers when each device last asked.
pub struct Polls(Cache<Uuid, DateTime<Utc>>);

impl Default for Polls {
    fn default() -> Self {
        Self(Cache::new(REMEMBERED))
    }
}

impl Polls {
    /// Whether a device may ask at a time: it did not just now. Asking too soon counts as asking.
    pub fn may(&self, device: Uuid, at: DateTime<Utc>, interval: TimeDelta) -> bool {
        let last = self.0.get(&device);
        self.0.insert(device, at);
        last.is_none_or(|last| at - last >= interval)
    }
}
