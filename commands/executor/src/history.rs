//! Aggregates from their history: what the cache knows, or a snapshot, and what the log has after that.

use std::sync::Arc;

use chrono::DateTime;
use eventstore::{EventStore, Resumed, Snapshot};
use kernel::personal::ends;
use kernel::{Aggregate, RecordedEvent, Refusal, TenantId};

use crate::cache::{Baseline, Baselines, StreamKey};
use crate::refused;
use crate::snapshots::{Form, Snapshots};

/// How current a state has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// What the cache has will do: the append checks it.
    Any,
    /// The log is asked.
    Log,
}

/// How much of a history has to be readable: a newer program may have written what this one does not know, or it is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// All of it, but for what came before somebody was erased.
    Whole,
    /// What is readable, be it nothing.
    Remains,
}

/// A stream's state and whether the log vouches for it.
pub(crate) struct Found {
    pub(crate) baseline: Baseline,
    pub(crate) from_cache: bool,
    /// Whether nothing that matters was passed over.
    pub(crate) whole: bool,
}

/// Makes aggregates of their events.
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

    /// The log that they are read from.
    pub(crate) fn store(&self) -> &EventStore {
        &self.store
    }

    /// What a command made of a stream that was at the version `before`.
    pub(crate) fn grown(&self, key: StreamKey, form: Form, before: u64, baseline: &Baseline) {
        self.snapshots.grown(&key, form, before, baseline);
        self.baselines.put(key, baseline.clone());
    }

    pub(crate) fn drop_stale(&self, key: &StreamKey) {
        self.baselines.drop_stale(key);
    }

    /// An aggregate's state; none: nothing ever happened to it, or it is another tenant's. What is made of remains only is not kept.
    pub(crate) async fn find<A: Aggregate>(
        &self,
        tenant: TenantId,
        id: &str,
        freshness: Freshness,
        reading: Reading,
    ) -> Result<Option<Found>, Refusal> {
        let key = StreamKey { tenant, aggregate_type: A::TYPE, id: id.to_owned() };
        let known = self.baselines.get(&key).filter(|baseline| baseline.state.is::<A>());
        if let (Freshness::Any, Some(baseline)) = (freshness, &known) {
            return Ok(Some(Found { baseline: baseline.clone(), from_cache: true, whole: true }));
        }
        let (known, tail) = match known {
            Some(known) => {
                let tail = self.store.load(tenant, A::TYPE, id, known.version).await;
                (Some(known), tail.map_err(|error| refused::by_the_log(&error))?)
            }
            None => self.resume::<A>(tenant, id).await?,
        };
        if tail.is_empty() {
            if let Some(baseline) = &known {
                self.baselines.put(key, baseline.clone());
            }
            return Ok(known.map(|baseline| Found { baseline, from_cache: false, whole: true }));
        }
        let mut state = known.as_ref().and_then(|known| known.state.downcast_ref::<A>()).cloned().unwrap_or_default();
        let mut baseline = known.unwrap_or_else(|| Baseline {
            state: Arc::new(()),
            version: 0,
            occurred_at: DateTime::UNIX_EPOCH,
            bytes: 0,
        });
        let end = tail.iter().rposition(|event| ends(&event.event_type)).unwrap_or_default();
        let mut whole = true;
        for (nth, event) in tail.iter().enumerate() {
            match event.decode::<A::Event>() {
                Ok(today) => today.into_iter().for_each(|event| state.evolve(event)),
                // Of who is erased nobody needs to know it.
                Err(_) if nth < end => {}
                Err(error) if reading == Reading::Remains => {
                    refused::passed_over(&error);
                    whole = false;
                }
                Err(error) => return Err(refused::by_history(&error)),
            }
            baseline.version = event.sequence;
            baseline.occurred_at = event.occurred_at;
            baseline.bytes += event.payload.len() as u64;
        }
        baseline.state = Arc::new(state);
        if whole {
            self.snapshots.loaded(&key, Form::of::<A>(), tail.len() as u64, &baseline);
            self.baselines.put(key, baseline.clone());
        } else {
            self.baselines.drop_stale(&key);
        }
        Ok(Some(Found { baseline, from_cache: false, whole }))
    }

    /// What a stream's snapshot holds, and the events after it; without one that can be read, all of them.
    async fn resume<A: Aggregate>(
        &self,
        tenant: TenantId,
        id: &str,
    ) -> Result<(Option<Baseline>, Vec<RecordedEvent>), Refusal> {
        let form = Form::of::<A>().name();
        let resumed = self.store.resume(tenant, A::TYPE, id, &form).await;
        let Resumed { snapshot, events } = resumed.map_err(|error| refused::by_the_log(&error))?;
        let Some(Snapshot { sequence: version, occurred_at, state }) = snapshot else { return Ok((None, events)) };
        if let Ok(decoded) = serde_json::from_slice::<A>(&state) {
            let bytes = state.len() as u64;
            return Ok((Some(Baseline { state: Arc::new(decoded), version, occurred_at, bytes }), events));
        }
        // Not what serde says: it quotes values, and so perhaps a person.
        tracing::warn!(%tenant, aggregate_type = A::TYPE, id, form, "a snapshot can't be read; it is passed over");
        let all = self.store.load(tenant, A::TYPE, id, 0).await;
        Ok((None, all.map_err(|error| refused::by_the_log(&error))?))
    }
}
