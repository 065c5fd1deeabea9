//! Loads aggregates: from the cache or a snapshot, plus the later events in the log.

use std::sync::Arc;

use eventstore::{EventStore, Resumed, Snapshot};
use kernel::personal::ends;
use kernel::{Aggregate, RecordedEvent, Refusal, TenantId};

use crate::cache::{Baseline, Baselines, StreamKey};
use crate::refused;
use crate::snapshots::{Form, Snapshots};

/// How fresh a loaded state has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// A cached state is enough, because the append checks its version.
    Any,
    /// The log is read for newer events.
    Log,
}

/// What to do with events that can't be decoded, because a newer program wrote them or they are damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Undecodable {
    /// Fail, except for events before an erasure.
    Fail,
    /// Skip them.
    Skip,
}

/// The result of a load.
pub(crate) struct Found {
    pub(crate) baseline: Baseline,
    /// The state is from the cache, and was not compared with the log.
    pub(crate) from_cache: bool,
    /// False if an event was skipped that could not be decoded (not counting events before an erasure).
    pub(crate) complete: bool,
}

/// Loads aggregates, and keeps the cache and the snapshots up to date.
pub(crate) struct Histories {
    store: EventStore,
    baselines: Baselines,
    snapshots: Snapshots,
}

impl Histories {
    pub(crate) fn new(store: EventStore, cache_bytes: u64, snapshot_events: u64) -> Self {
        let snapshots = Snapshots::new(store.clone(), snapshot_events);
        Self { store, baselines: Baselines::new(cache_bytes), snapshots }
    }

    /// The log of the service.
    pub(crate) fn store(&self) -> &EventStore {
        &self.store
    }

    /// Caches the new state of a stream after an append, and takes a snapshot if one is due. `before`: the version before the append.
    pub(crate) fn appended(&self, key: StreamKey, form: Form, before: u64, baseline: &Baseline) {
        self.snapshots.after_append(&key, form, before, baseline);
        self.baselines.put(key, baseline.clone());
    }

    pub(crate) fn drop_stale(&self, key: &StreamKey) {
        self.baselines.drop_stale(key);
    }

    /// Loads an aggregate. `None` if it does not exist or belongs to another tenant. A state for which events were skipped is not cached.
    pub(crate) async fn find<A: Aggregate>(
        &self,
        tenant: TenantId,
        id: &str,
        freshness: Freshness,
        undecodable: Undecodable,
    ) -> Result<Option<Found>, Refusal> {
        loop {
            let epoch = self.store.epoch();
            let found = self.find_in::<A>(epoch, tenant, id, freshness, undecodable).await?;
            // If the epoch has ended meanwhile (the read itself may have found another server), it may be the state of lost events, followed
            // by those that are there.
            if epoch == self.store.epoch() {
                return Ok(found);
            }
        }
    }

    async fn find_in<A: Aggregate>(
        &self,
        epoch: u64,
        tenant: TenantId,
        id: &str,
        freshness: Freshness,
        undecodable: Undecodable,
    ) -> Result<Option<Found>, Refusal> {
        let key = StreamKey { tenant, aggregate_type: A::TYPE, id: id.to_owned() };
        let known = self.baselines.get(&key, epoch).filter(|baseline| baseline.state.is::<A>());
        if let (Freshness::Any, Some(baseline)) = (freshness, &known) {
            return Ok(Some(Found { baseline: baseline.clone(), from_cache: true, complete: true }));
        }
        let (known, tail) = match known {
            Some(known) => {
                let tail = self.store.load(tenant, A::TYPE, id, known.version).await;
                (Some(known), tail.map_err(|error| refused::by_the_log(&error))?)
            }
            None => self.resume::<A>(tenant, id, epoch).await?,
        };
        if tail.is_empty() {
            if let Some(baseline) = &known {
                self.baselines.put(key, baseline.clone());
            }
            return Ok(known.map(|baseline| Found { baseline, from_cache: false, complete: true }));
        }
        let mut state = known.as_ref().and_then(|known| known.state.downcast_ref::<A>()).cloned().unwrap_or_default();
        let mut baseline = known.unwrap_or_else(|| Baseline::without_events(Arc::new(()), epoch));
        let end = tail.iter().rposition(|event| ends(&event.event_type)).unwrap_or_default();
        let mut complete = true;
        for (nth, event) in tail.iter().enumerate() {
            match event.decode::<A::Event>() {
                Ok(today) => today.into_iter().for_each(|event| state.evolve(event)),
                // An event before an erasure has no data that is still needed.
                Err(_) if nth < end => {}
                Err(error) if undecodable == Undecodable::Skip => {
                    refused::log_skipped(&error);
                    complete = false;
                }
                Err(error) => return Err(refused::by_history(&error)),
            }
            if event.sequence == 1 {
                baseline.began_at = Some(event.occurred_at);
            }
            baseline.version = event.sequence;
            baseline.occurred_at = event.occurred_at;
            baseline.bytes += event.payload.len() as u64;
        }
        baseline.state = Arc::new(state);
        if complete {
            self.snapshots.after_load(&key, Form::of::<A>(), tail.len() as u64, &baseline);
            self.baselines.put(key, baseline.clone());
        } else {
            self.baselines.drop_stale(&key);
        }
        Ok(Some(Found { baseline, from_cache: false, complete }))
    }

    /// A stream's snapshot and the events after it. If there is no snapshot that can be decoded: all events.
    async fn resume<A: Aggregate>(
        &self,
        tenant: TenantId,
        id: &str,
        epoch: u64,
    ) -> Result<(Option<Baseline>, Vec<RecordedEvent>), Refusal> {
        let form = Form::of::<A>().name();
        let resumed = self.store.resume(tenant, A::TYPE, id, &form).await;
        let Resumed { snapshot, events } = resumed.map_err(|error| refused::by_the_log(&error))?;
        let Some(Snapshot { sequence: version, occurred_at, state }) = snapshot else { return Ok((None, events)) };
        if let Ok(decoded) = serde_json::from_slice::<A>(&state) {
            let bytes = state.len() as u64;
            let state = Arc::new(decoded);
            return Ok((Some(Baseline { state, version, began_at: None, occurred_at, bytes, epoch }), events));
        }
        // Serde's message is not logged: it quotes values, which may be personal data.
        tracing::warn!(%tenant, aggregate_type = A::TYPE, id, form, "a snapshot can't be read; it is passed over");
        let all = self.store.load(tenant, A::TYPE, id, 0).await;
        Ok((None, all.map_err(|error| refused::by_the_log(&error))?))
    }
}
