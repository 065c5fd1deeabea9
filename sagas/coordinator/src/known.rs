//! What sagas looked at to decide whether an event starts them, remembered until it changes.
//!
//! Without this a saga that starts on a frequent event would ask the log for the same setting of the same tenant each time. The
//! follower sees every event of the service in order and forgets what an event changes before a saga is asked about the next
//! one; so what is remembered is never older than the event that it is asked about.

use std::any::Any;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use kernel::{Aggregate, RecordedEvent, TenantId};

/// So many aggregates are remembered; one more, and all are asked for anew.
const MOST: usize = 10_000;

/// An aggregate's state and version; none: it does not exist.
type Found = Option<(Arc<dyn Any + Send + Sync>, u64)>;

/// What is remembered of an aggregate.
pub(crate) enum Memory<A> {
    /// Its state and version; none: that it does not exist.
    Known(Option<(Arc<A>, u64)>),
    /// Nothing: the log has to be asked.
    Unknown,
}

/// Shared by the occasions of one follower.
#[derive(Clone, Default)]
pub(crate) struct Known(Arc<Mutex<Remembered>>);

#[derive(Default)]
struct Remembered {
    types: HashSet<&'static str>,
    found: HashMap<(TenantId, &'static str, String), Found>,
}

impl Known {
    /// What is remembered of an aggregate.
    pub(crate) fn get<A: Aggregate>(&self, tenant: TenantId, id: &str) -> Memory<A> {
        let remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match remembered.found.get(&(tenant, A::TYPE, id.to_owned())) {
            None => Memory::Unknown,
            Some(None) => Memory::Known(None),
            Some(Some((state, version))) => match Arc::clone(state).downcast() {
                Ok(state) => Memory::Known(Some((state, *version))),
                Err(_) => Memory::Unknown,
            },
        }
    }

    /// Remembers what the log said of an aggregate.
    pub(crate) fn put<A: Aggregate>(&self, tenant: TenantId, id: &str, found: Option<&(Arc<A>, u64)>) {
        let mut remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.found.len() >= MOST {
            remembered.found.clear();
        }
        let found = found.map(|(state, version)| (Arc::clone(state) as Arc<dyn Any + Send + Sync>, *version));
        remembered.types.insert(A::TYPE);
        remembered.found.insert((tenant, A::TYPE, id.to_owned()), found);
    }

    /// Forgets the aggregate that this event changed.
    pub(crate) fn forget(&self, event: &RecordedEvent) {
        let mut remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Of nearly all types nothing is ever asked.
        let Some(aggregate_type) = remembered.types.get(event.aggregate_type.as_str()).copied() else { return };
        remembered.found.remove(&(event.tenant, aggregate_type, event.aggregate_id.clone()));
    }
}
