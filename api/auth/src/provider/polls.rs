//! The rate limit for devices that poll the token endpoint (RFC 8628 section 3.5).

use chrono::{DateTime, TimeDelta, Utc};
use quick_cache::sync::Cache;
use uuid::Uuid;

/// The capacity of the cache of devices.
const REMEMBERED: usize = 10_000;

/// The time of each device's last poll.
pub struct Polls(Cache<Uuid, DateTime<Utc>>);

impl Default for Polls {
    fn default() -> Self {
        Self(Cache::new(REMEMBERED))
    }
}

impl Polls {
    /// Whether a device may poll at this time: its last poll was at least `interval` ago. A poll that comes too early counts as well.
    pub fn may_poll(&self, device: Uuid, at: DateTime<Utc>, interval: TimeDelta) -> bool {
        let last = self.0.get(&device);
        self.0.insert(device, at);
        last.is_none_or(|last| at - last >= interval)
    }
}
