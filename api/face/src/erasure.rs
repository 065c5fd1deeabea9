//! What the log can still tell of somebody: that an erasure took everything can be looked at.

use chrono::{DateTime, Utc};
use eventstore::EventStore;
use kernel::{RecordedEvent, Refusal, TenantId, personal};
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use crate::log_unreadable;

/// What the log can still tell of somebody.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Erasure {
    /// Whether they are erased.
    pub erased: bool,
    /// When.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub erased_at: Option<DateTime<Utc>>,
    /// How many events there are about them.
    pub events: usize,
    /// In how many of these something is sealed that nobody can open any more.
    pub sealed_for_ever: usize,
    /// In how many something is sealed that can still be opened: none when they are erased.
    pub can_be_opened: usize,
}

impl Erasure {
    /// Looks at every event of these streams anew: the first is the one that is asked about, the others are the same person.
    ///
    /// # Errors
    /// When the log does not answer.
    pub async fn of(store: &EventStore, tenant: TenantId, streams: &[(&str, Uuid)]) -> Result<Self, Refusal> {
        let (mut opened, mut erased_at) = (Vec::new(), None);
        for (number, (aggregate_type, id)) in streams.iter().enumerate() {
            let found = store.load(tenant, aggregate_type, &id.to_string(), 0).await;
            let found = found.map_err(|error| log_unreadable(&error))?;
            if number == 0 {
                let erases = found.iter().find(|event| personal::erases(&event.event_type));
                erased_at = erases.map(|event| event.recorded_at);
            }
            opened.extend(found);
        }
        let mut positions: Vec<_> = opened.iter().map(|event| event.position).collect();
        positions.sort_unstable();
        // As it is stored: what was sealed and is not any more can be opened.
        let stored = store.stored_at(&positions).await.map_err(|error| log_unreadable(&error))?;
        let sealed_for_ever = opened.iter().filter(is_sealed).count();
        Ok(Self {
            erased: erased_at.is_some(),
            erased_at,
            events: opened.len(),
            sealed_for_ever,
            can_be_opened: stored.iter().filter(is_sealed).count() - sealed_for_ever,
        })
    }
}

fn is_sealed(event: &&RecordedEvent) -> bool {
    eventstore::is_sealed(&event.payload)
}
