//! A cache of the aggregates that sagas read to decide whether an event starts them.
//!
//! Without it, a saga that starts on a frequent event would load the same setting of the same tenant from the log each time. The follower
//! sees every event of the service in order, and removes the aggregates that a batch changes before sagas evaluate the batch. So a cached
//! state is never older than the event for which it is read.

use std::any::Any;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use kernel::{Aggregate, RecordedEvent, TenantId};

/// The maximum number of cached aggregates. When it is reached, the cache is cleared.
const MAX_ENTRIES: usize = 10_000;

/// An aggregate's state and version; `None` if it does not exist.
type Found = Option<(Arc<dyn Any + Send + Sync>, u64)>;

/// The result of a cache lookup.
pub(crate) enum Lookup<A> {
    /// Cached: the state and version, or `None` if the aggregate does not exist.
    Hit(Option<(Arc<A>, u64)>),
    /// Not cached: load it from the log.
    Miss,
}

/// The cache. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct StateCache(Arc<Mutex<Entries>>);

#[derive(Default)]
struct Entries {
    types: HashSet<&'static str>,
    found: HashMap<(TenantId, &'static str, String), Found>,
}

impl StateCache {
    /// Looks up an aggregate.
    pub(crate) fn get<A: Aggregate>(&self, tenant: TenantId, id: &str) -> Lookup<A> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match entries.found.get(&(tenant, A::TYPE, id.to_owned())) {
            None => Lookup::Miss,
            Some(None) => Lookup::Hit(None),
            Some(Some((state, version))) => match Arc::clone(state).downcast() {
                Ok(state) => Lookup::Hit(Some((state, *version))),
                Err(_) => Lookup::Miss,
            },
        }
    }

    /// Caches what was loaded from the log.
    pub(crate) fn put<A: Aggregate>(&self, tenant: TenantId, id: &str, found: Option<&(Arc<A>, u64)>) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.found.len() >= MAX_ENTRIES {
            entries.found.clear();
        }
        let found = found.map(|(state, version)| (Arc::clone(state) as Arc<dyn Any + Send + Sync>, *version));
        entries.types.insert(A::TYPE);
        entries.found.insert((tenant, A::TYPE, id.to_owned()), found);
    }

    /// Removes the aggregate that this event changed.
    pub(crate) fn invalidate(&self, event: &RecordedEvent) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Sagas read aggregates of only a few types, so most events end here.
        let Some(aggregate_type) = entries.types.get(event.aggregate_type.as_str()).copied() else { return };
        entries.found.remove(&(event.tenant, aggregate_type, event.aggregate_id.clone()));
    }
}
