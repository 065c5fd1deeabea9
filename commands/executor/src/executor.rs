//! The executor itself.

use std::sync::Arc;

use eventstore::EventStore;
use kernel::{Aggregate, Caller, Clock, IdSource, Refusal};

use crate::{Command, Done, Request};

/// How the executor is set up.
#[derive(Clone)]
pub struct Settings {
    /// How much the cache of recent aggregates may hold, in bytes of events.
    pub cache_bytes: u64,
    /// The key under which claimed values are hashed: a service's secret, the same for ever.
    pub claim_key: [u8; 32],
}

/// Carries commands out. Cheap to clone.
#[derive(Clone)]
pub struct Executor {
    inner: Arc<Inner>,
}

struct Inner {
    store: EventStore,
}

#[expect(clippy::todo, unused_variables, reason = "being written")]
impl Executor {
    /// An executor over a service's log.
    pub fn new(store: EventStore, clock: Arc<dyn Clock>, ids: Arc<dyn IdSource>, settings: Settings) -> Self {
        Self { inner: Arc::new(Inner { store }) }
    }

    /// Carries a command out, once.
    pub async fn execute<C: Command>(&self, request: &Request, command: &C) -> Result<Done<C::Answer>, Refusal> {
        let _ = &self.inner.store;
        todo!()
    }

    /// An aggregate's current state and version.
    pub async fn load<A: Aggregate>(&self, caller: &Caller, id: &str) -> Result<Option<(Arc<A>, u64)>, Refusal> {
        todo!()
    }
}
