//! An in-memory cache of recent aggregates, so that a command on a cached aggregate needs no read.
//!
//! A cached state may be stale. The append detects that, because it requires the version that the state has. If an attempt writes nothing
//! (a refusal, "nothing to do"), no append checks it, so the executor reads the log before it answers. Reading what follows a state is not
//! enough once the log has lost its end: the state may rest on events that are not there any more. So it is used in its epoch only, and
//! what was decided on it is not written in a later one: the stream may have the same version again, with other events.

use std::any::Any;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use kernel::TenantId;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

/// An aggregate's state as of one version of its stream.
#[derive(Clone)]
pub(crate) struct Baseline {
    /// The aggregate itself.
    pub(crate) state: Arc<dyn Any + Send + Sync>,
    /// The stream's version: the number of its events.
    pub(crate) version: u64,
    /// When the first event happened. `None`: the state is from a snapshot, which does not tell.
    pub(crate) began_at: Option<DateTime<Utc>>,
    /// When the last event happened.
    pub(crate) occurred_at: DateTime<Utc>,
    /// Bytes of the payloads of its events: an estimate of the state's size in memory.
    pub(crate) bytes: u64,
    /// The log's [epoch](eventstore::EventStore::epoch) from before the first of its events was read.
    pub(crate) epoch: u64,
}

impl Baseline {
    /// The state of a stream that has no events yet. Its times are set with its first event.
    pub(crate) fn without_events(state: Arc<dyn Any + Send + Sync>, epoch: u64) -> Self {
        Self { state, version: 0, began_at: None, occurred_at: DateTime::UNIX_EPOCH, bytes: 0, epoch }
    }
}

/// The identity of a stream.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct StreamKey {
    pub(crate) tenant: TenantId,
    pub(crate) aggregate_type: &'static str,
    pub(crate) id: String,
}

#[derive(Clone)]
struct ByBytes;

/// Estimated bytes of an entry besides its state: key, pointers, the cache's own bookkeeping.
const OVERHEAD: u64 = 320;

impl Weighter<StreamKey, Baseline> for ByBytes {
    fn weight(&self, key: &StreamKey, baseline: &Baseline) -> u64 {
        OVERHEAD + key.id.len() as u64 + baseline.bytes
    }
}

/// The cache, bounded by bytes: beyond that, the least useful entries are evicted.
pub(crate) struct Baselines(Cache<StreamKey, Baseline, ByBytes>);

impl Baselines {
    pub(crate) fn new(bytes: u64) -> Self {
        // A lead of three events weighs about 1 KiB.
        let entries = usize::try_from(bytes / 1024).unwrap_or(usize::MAX).max(16);
        Self(Cache::with_weighter(entries, bytes, ByBytes))
    }

    /// The cached state of a stream, if it is of this epoch.
    pub(crate) fn get(&self, key: &StreamKey, epoch: u64) -> Option<Baseline> {
        self.0.get(key).filter(|known| known.epoch == epoch)
    }

    /// Caches a state unless a newer one is cached: two appends to a stream may get here in the wrong order.
    pub(crate) fn put(&self, key: StreamKey, baseline: Baseline) {
        if self.0.peek(&key).is_none_or(|known| (known.epoch, known.version) < (baseline.epoch, baseline.version)) {
            self.0.insert(key, baseline);
        }
    }

    pub(crate) fn drop_stale(&self, key: &StreamKey) {
        self.0.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[expect(clippy::disallowed_methods, reason = "a test's tenant")]
    fn key(id: &str) -> StreamKey {
        StreamKey { tenant: TenantId::vouched(Uuid::nil()), aggregate_type: "demo.lamp", id: id.to_owned() }
    }

    fn baseline(version: u64, bytes: u64) -> Baseline {
        Baseline { version, bytes, ..Baseline::without_events(Arc::new(()), 0) }
    }

    #[test]
    fn an_older_state_does_not_replace_a_newer_one() {
        let baselines = Baselines::new(1 << 20);
        baselines.put(key("a"), baseline(2, 10));
        baselines.put(key("a"), baseline(1, 10));
        assert_eq!(baselines.get(&key("a"), 0).map(|b| b.version), Some(2));
        baselines.put(key("a"), baseline(3, 10));
        assert_eq!(baselines.get(&key("a"), 0).map(|b| b.version), Some(3));
    }

    #[test]
    fn a_state_of_an_earlier_epoch_is_not_used_and_replaces_none_of_a_later_one() {
        let baselines = Baselines::new(1 << 20);
        let version = |epoch| baselines.get(&key("a"), epoch).map(|b| b.version);
        baselines.put(key("a"), baseline(5, 10));
        assert_eq!((version(0), version(1)), (Some(5), None));
        baselines.put(key("a"), Baseline { epoch: 1, ..baseline(3, 10) });
        baselines.put(key("a"), baseline(6, 10));
        assert_eq!((version(0), version(1)), (None, Some(3)));
    }

    #[test]
    fn the_cache_is_bounded_by_bytes() {
        let baselines = Baselines::new(100_000);
        for number in 0..1_000 {
            baselines.put(key(&number.to_string()), baseline(1, 1_000));
        }
        assert!(baselines.0.weight() <= 100_000, "{}", baselines.0.weight());
        assert!(baselines.0.len() > 10, "{}", baselines.0.len());
    }
}
