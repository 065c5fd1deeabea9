//! How the event store uses its database.

use std::time::Duration;

use crate::Sealing;

/// Limits and sizes of an [`EventStore`](crate::EventStore).
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long an append may take before its caller hears `Unavailable`, the time of reconnecting included.
    pub append_timeout: Duration,
    /// How many appends may wait; more are refused at once.
    pub queue: usize,
    /// How many of them may be one tenant's.
    pub queue_of_a_tenant: usize,
    /// How many bytes of payload, metadata and answers those that are not answered yet may have together; more are refused
    /// at once. An append that is larger by itself is taken when no other waits.
    pub queue_bytes: u32,
    /// The most appends of a batch.
    pub batch_appends: usize,
    /// The most events of a batch: what anybody may have to wait for. A single append may have more, up to `append_events`.
    pub batch_events: usize,
    /// The most bytes of payload, metadata and answers of a batch.
    pub batch_bytes: usize,
    /// The most events of one append.
    pub append_events: usize,
    /// The most bytes of one event: payload and metadata. Larger content goes to the object store.
    pub event_bytes: usize,
    /// How personal data is sealed. None: it is not, and what is sealed can't be opened.
    pub sealing: Option<Sealing>,
    /// Connections for loading streams and replaying.
    pub read_connections: u32,
    /// Connections that read all tenants' events by position.
    pub follow_connections: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            append_timeout: Duration::from_secs(10),
            queue: 4_096,
            queue_of_a_tenant: 2_048,
            queue_bytes: 64 << 20,
            batch_appends: 256,
            batch_events: 1_000,
            batch_bytes: 4 << 20,
            append_events: 10_000,
            event_bytes: 256 << 10,
            sealing: None,
            read_connections: 4,
            follow_connections: 4,
        }
    }
}
