//! What the log can still tell of somebody: that an erasure took everything can be looked at.

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

/// How many streams are read at the same time.
const TOGETHER: usize = 8;

/// How many events are looked up at once, each of which may have a picture.
const AT_ONCE: usize = 200;

/// What an event still tells: all that is kept of it.
struct Trace {
    position: Position,
    /// When it erased the person, if it did.
    erased_at: Option<DateTime<Utc>>,
    /// Whether something of it stayed sealed.
    is_sealed: bool,
}

impl Erasure {
    /// Looks at every event of these streams anew: the first is the one that is asked about, the others are the same person.
    /// `complete`: there are no more.
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
        let histories: Vec<_> = stream::iter(reads).buffered(TOGETHER).try_collect().await?;
        let erased_at = histories.first().into_iter().flatten().find_map(|event| event.erased_at);
        let sealed_for_ever = histories.iter().flatten().filter(|event| event.is_sealed).count();
        let mut positions: Vec<_> = histories.iter().flatten().map(|event| event.position).collect();
        positions.sort_unstable();
        // As it is stored: what was sealed and is not any more can be opened.
        let mut sealed = 0;
        for some in positions.chunks(AT_ONCE) {
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
