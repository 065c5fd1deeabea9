//! Reports what the event log still contains about a person, so that an erasure can be verified.

use chrono::{DateTime, Utc};
use eventstore::EventStore;
use futures::stream::{self, StreamExt, TryStreamExt};
use kernel::{Position, RecordedEvent, Refusal, TenantId, personal};
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use crate::{Example, example, log_unreadable};

/// What the event log still contains about a person.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Erasure {
    /// Whether the person's data was erased.
    pub erased: bool,
    /// When it was erased.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub erased_at: Option<DateTime<Utc>>,
    /// Number of events about the person.
    pub events: usize,
    /// Number of these events with encrypted values that can no longer be decrypted.
    pub sealed_for_ever: usize,
    /// Number of these events with encrypted values that can still be decrypted. After an erasure it is 0.
    pub can_be_opened: usize,
    /// Whether all events about the person were checked. If there are very many sign-ins or attempts to sign in, only the
    /// newest are checked.
    pub complete: bool,
}

impl Example for Erasure {
    fn example() -> Self {
        let erased_at = Some(example::time(0));
        Self { erased: true, erased_at, events: 7, sealed_for_ever: 3, can_be_opened: 0, complete: true }
    }
}

/// How many streams are read concurrently.
const CONCURRENT_STREAMS: usize = 8;

/// How many stored events are loaded in one query. It is bounded because each may contain a picture.
const BATCH: usize = 200;

/// The part of an event that the report needs.
struct Trace {
    position: Position,
    /// When it was recorded, if it is the event that erased the person.
    erased_at: Option<DateTime<Utc>>,
    /// Whether it has sealed values that can't be opened any more.
    is_sealed: bool,
}

impl Erasure {
    /// Reads every event of these streams from the log. The first stream is the one that the caller asked about; the others belong to
    /// the same person. `complete`: there are no further streams.
    ///
    /// # Errors
    /// When the log does not answer.
    pub async fn of(
        store: &EventStore,
        tenant: TenantId,
        streams: &[(&str, Uuid)],
        complete: bool,
    ) -> Result<Self, Refusal> {
        let reads: Vec<_> =
            streams.iter().map(|(aggregate_type, id)| history(store, tenant, aggregate_type, *id)).collect();
        let histories: Vec<_> = stream::iter(reads).buffered(CONCURRENT_STREAMS).try_collect().await?;
        let erased_at = histories.first().into_iter().flatten().find_map(|event| event.erased_at);
        let sealed_for_ever = histories.iter().flatten().filter(|event| event.is_sealed).count();
        let mut positions: Vec<_> = histories.iter().flatten().map(|event| event.position).collect();
        positions.sort_unstable();
        // Counted in the events as they are stored, before decryption. Those that are sealed there but not after loading can still be
        // opened.
        let mut sealed = 0;
        for some in positions.chunks(BATCH) {
            let stored = store.stored_at(some).await.map_err(|error| log_unreadable(&error))?;
            sealed += stored.iter().filter(|event| is_sealed(event)).count();
        }
        Ok(Self {
            erased: erased_at.is_some(),
            erased_at,
            events: positions.len(),
            sealed_for_ever,
            can_be_opened: sealed - sealed_for_ever,
            complete,
        })
    }
}

async fn history(store: &EventStore, tenant: TenantId, aggregate_type: &str, id: Uuid) -> Result<Vec<Trace>, Refusal> {
    let events = store.load(tenant, aggregate_type, &id.to_string(), 0).await;
    let noted = |event: &RecordedEvent| Trace {
        position: event.position,
        erased_at: personal::erases(&event.event_type).then_some(event.recorded_at),
        is_sealed: is_sealed(event),
    };
    Ok(events.map_err(|error| log_unreadable(&error))?.iter().map(noted).collect())
}

fn is_sealed(event: &RecordedEvent) -> bool {
    eventstore::is_sealed(&event.payload)
}
