//! Aggregates from their history: what the cache knows, and what the log has after that.

use std::sync::Arc;

use chrono::DateTime;
use eventstore::EventStore;
use kernel::{Aggregate, Refusal, TenantId};

use crate::cache::{Baseline, Baselines, StreamKey};
use crate::refused;

/// How current a state has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// What the cache has will do: the append checks it.
    Any,
    /// The log is asked.
    Log,
}

/// A stream's state and whether the log vouches for it.
pub(crate) struct Found {
    pub(crate) baseline: Baseline,
    pub(crate) from_cache: bool,
}

/// Makes aggregates of their events.
pub(crate) struct Histories {
    store: EventStore,
    baselines: Baselines,
}

impl Histories {
    pub(crate) fn new(store: EventStore, cache_bytes: u64) -> Self {
        Self { store, baselines: Baselines::new(cache_bytes) }
    }

    pub(crate) fn keep(&self, key: StreamKey, baseline: Baseline) {
        self.baselines.put(key, baseline);
    }

    pub(crate) fn drop_stale(&self, key: &StreamKey) {
        self.baselines.drop_stale(key);
    }

    /// An aggregate's state; none: nothing ever happened to it, or it is another tenant's.
    pub(crate) async fn find<A: Aggregate>(
        &self,
        tenant: TenantId,
        id: &str,
        freshness: Freshness,
    ) -> Result<Option<Found>, Refusal> {
        let key = StreamKey { tenant, aggregate_type: A::TYPE, id: id.to_owned() };
        let known = self.baselines.get(&key).filter(|baseline| baseline.state.is::<A>());
        if let (Freshness::Any, Some(baseline)) = (freshness, &known) {
            return Ok(Some(Found { baseline: baseline.clone(), from_cache: true }));
        }
        let after = known.as_ref().map_or(0, |baseline| baseline.version);
        let tail = self.store.load(tenant, A::TYPE, id, after).await.map_err(|error| refused::by_the_log(&error))?;
        if tail.is_empty() {
            return Ok(known.map(|baseline| Found { baseline, from_cache: false }));
        }
        let mut state = known.as_ref().and_then(|known| known.state.downcast_ref::<A>()).cloned().unwrap_or_default();
        let mut baseline = known.unwrap_or_else(|| Baseline {
            state: Arc::new(()),
            version: 0,
            occurred_at: DateTime::UNIX_EPOCH,
            bytes: 0,
        });
        for event in &tail {
            let today = event.decode().map_err(|error| refused::by_history(&error))?;
            today.into_iter().for_each(|event| state.evolve(event));
            baseline.version = event.sequence;
            baseline.occurred_at = event.occurred_at;
            baseline.bytes += event.payload.len() as u64;
        }
        baseline.state = Arc::new(state);
        self.keep(key, baseline.clone());
        Ok(Some(Found { baseline, from_cache: false }))
    }
}
