//! Snapshots of long streams: taken behind the commands' backs, so that none waits for one.

use std::any::Any;

use eventstore::{EventStore, Snapshot};
use kernel::{Aggregate, TenantId};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use crate::cache::{Baseline, StreamKey};
use crate::work::written;

/// How many may wait to be written. What does not fit is left out: the stream's next one comes soon.
const WAITING: usize = 256;

/// A state as it is written.
type Written = serde_json::Result<Vec<u8>>;

/// How an aggregate's state is written, without its Rust type.
#[derive(Clone, Copy)]
pub(crate) struct Form {
    name: fn() -> String,
    write: fn(&(dyn Any + Send + Sync), &str) -> Option<Written>,
}

impl Form {
    pub(crate) const fn of<A: Aggregate>() -> Self {
        Self { name: name::<A>, write: write::<A> }
    }

    /// The form's name: the one that the aggregate gives, and what its empty state looks like.
    pub(crate) fn name(self) -> String {
        (self.name)()
    }
}

fn name<A: Aggregate>() -> String {
    let empty = serde_json::to_vec(&A::default()).unwrap_or_default();
    let [a, b, c, d, ..]: [u8; 32] = Sha256::digest(empty).into();
    format!("{}-{:08x}", A::FORM, u32::from_be_bytes([a, b, c, d]))
}

fn write<A: Aggregate>(state: &(dyn Any + Send + Sync), id: &str) -> Option<Written> {
    state.downcast_ref::<A>().map(|state| written(state, id, state).map(String::into_bytes))
}

/// A stream's state that is to be kept.
struct Kept {
    tenant: TenantId,
    aggregate_type: &'static str,
    id: String,
    form: Form,
    baseline: Baseline,
}

/// Takes snapshots. Ends when it is dropped.
pub(crate) struct Snapshots {
    /// A stream gets one each time it has so many more events; 0: never.
    every: u64,
    waiting: mpsc::Sender<Kept>,
}

impl Snapshots {
    /// Begins to write what it is given. To be called within a runtime.
    pub(crate) fn new(store: EventStore, every: u64) -> Self {
        let (waiting, kept) = mpsc::channel(WAITING);
        if every > 0 {
            tokio::spawn(keep_all(store, kept));
        }
        Self { every, waiting }
    }

    /// A stream has grown from `before` to what the baseline is.
    pub(crate) fn grown(&self, key: &StreamKey, form: Form, before: u64, baseline: &Baseline) {
        if self.every > 0 && before / self.every < baseline.version / self.every {
            self.keep(key, form, baseline);
        }
    }

    /// A stream was loaded, and so many events had to be read for it.
    pub(crate) fn loaded(&self, key: &StreamKey, form: Form, read: u64, baseline: &Baseline) {
        if self.every > 0 && read > self.every {
            self.keep(key, form, baseline);
        }
    }

    fn keep(&self, key: &StreamKey, form: Form, baseline: &Baseline) {
        let StreamKey { tenant, aggregate_type, id } = key.clone();
        let kept = Kept { tenant, aggregate_type, id, form, baseline: baseline.clone() };
        if self.waiting.try_send(kept).is_err() {
            tracing::debug!(aggregate_type, "a snapshot is left out: too many wait");
        }
    }
}

async fn keep_all(store: EventStore, mut waiting: mpsc::Receiver<Kept>) {
    while let Some(Kept { tenant, aggregate_type, id, form, baseline }) = waiting.recv().await {
        let Some(state) = (form.write)(&*baseline.state, &id) else { continue };
        let kept = match state {
            Ok(state) => {
                let Baseline { version: sequence, occurred_at, .. } = baseline;
                let snapshot = Snapshot { sequence, occurred_at, state: state.into() };
                let form = form.name();
                let keeping = store.keep_snapshot(tenant, aggregate_type, &id, &form, &snapshot);
                keeping.await.map_err(|error| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = kept {
            // Nothing depends on it.
            tracing::warn!(%tenant, aggregate_type, id, error, "a snapshot could not be kept");
        }
    }
}
