//! Writes snapshots of long streams in a background task, so that no command waits for one.

use std::any::Any;
use std::sync::Arc;

use eventstore::{EventStore, Snapshot, supervised};
use kernel::{Aggregate, TenantId};
use sha2::{Digest, Sha256};
use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;

use crate::cache::{Baseline, StreamKey};
use crate::work::to_marked_json;

/// Capacity of the queue of snapshots to write. If it is full, a snapshot is dropped: the stream gets another one later.
const QUEUE_CAPACITY: usize = 256;

/// A serialized state.
type Serialized = serde_json::Result<Vec<u8>>;

/// The snapshot format of an aggregate, with its Rust type erased.
#[derive(Clone, Copy)]
pub(crate) struct Form {
    name: fn() -> String,
    write: fn(&(dyn Any + Send + Sync), &str) -> Option<Serialized>,
}

impl Form {
    pub(crate) const fn of<A: Aggregate>() -> Self {
        Self { name: name::<A>, write: write::<A> }
    }

    /// The format's name: [`Aggregate::FORM`] and a hash of the serialized default state, so that most changes of the state's fields change
    /// it.
    pub(crate) fn name(self) -> String {
        (self.name)()
    }
}

fn name<A: Aggregate>() -> String {
    let empty = serde_json::to_vec(&A::default()).unwrap_or_default();
    let [a, b, c, d, ..]: [u8; 32] = Sha256::digest(empty).into();
    format!("{}-{:08x}", A::FORM, u32::from_be_bytes([a, b, c, d]))
}

fn write<A: Aggregate>(state: &(dyn Any + Send + Sync), id: &str) -> Option<Serialized> {
    state.downcast_ref::<A>().map(|state| to_marked_json(state, id, state).map(String::into_bytes))
}

/// A snapshot in the queue.
struct PendingSnapshot {
    tenant: TenantId,
    aggregate_type: &'static str,
    id: String,
    form: Form,
    baseline: Baseline,
}

/// Queues snapshots for the background task, which ends when this is dropped.
pub(crate) struct Snapshots {
    /// The interval in events at which a stream gets a snapshot; 0: never.
    every: u64,
    queue: mpsc::Sender<PendingSnapshot>,
}

impl Snapshots {
    /// Spawns the background task. Must be called within a Tokio runtime.
    pub(crate) fn new(store: EventStore, every: u64) -> Self {
        let (queue, pending) = mpsc::channel(QUEUE_CAPACITY);
        if every > 0 {
            let (name, pending) = (format!("snapshots/{}", store.service()), Arc::new(Mutex::new(pending)));
            let writing = move |_| write_all(store.clone(), pending.clone());
            tokio::spawn(supervised(name, CancellationToken::new(), writing));
        }
        Self { every, queue }
    }

    /// Queues a snapshot if an append took the stream from version `before` across a multiple of the interval.
    pub(crate) fn after_append(&self, key: &StreamKey, form: Form, before: u64, baseline: &Baseline) {
        if self.every > 0 && before / self.every < baseline.version / self.every {
            self.enqueue(key, form, baseline);
        }
    }

    /// Queues a snapshot if a load had to read more events (`read`) than the interval.
    pub(crate) fn after_load(&self, key: &StreamKey, form: Form, read: u64, baseline: &Baseline) {
        if self.every > 0 && read > self.every {
            self.enqueue(key, form, baseline);
        }
    }

    fn enqueue(&self, key: &StreamKey, form: Form, baseline: &Baseline) {
        let StreamKey { tenant, aggregate_type, id } = key.clone();
        let snapshot = PendingSnapshot { tenant, aggregate_type, id, form, baseline: baseline.clone() };
        if self.queue.try_send(snapshot).is_err() {
            tracing::debug!(aggregate_type, "a snapshot is left out: too many wait");
        }
    }
}

async fn write_all(store: EventStore, queue: Arc<Mutex<mpsc::Receiver<PendingSnapshot>>>) {
    let mut queue = queue.lock().await;
    while let Some(PendingSnapshot { tenant, aggregate_type, id, form, baseline }) = queue.recv().await {
        // A snapshot is trusted, and this one may rest on events that the log has lost.
        if baseline.epoch != store.epoch() {
            continue;
        }
        let Some(state) = (form.write)(&*baseline.state, &id) else { continue };
        let result = match state {
            Ok(state) => {
                let Baseline { version: sequence, occurred_at, .. } = baseline;
                let snapshot = Snapshot { sequence, occurred_at, state: state.into() };
                let form = form.name();
                let keeping = store.keep_snapshot(tenant, aggregate_type, &id, &form, &snapshot);
                keeping.await.map_err(|error| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = result {
            // A snapshot is optional: a load then reads more events.
            tracing::warn!(%tenant, aggregate_type, id, error, "a snapshot could not be kept");
        }
    }
}
