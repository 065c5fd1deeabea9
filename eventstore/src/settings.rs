//! Settings of the event store.

use std::time::Duration;

use crate::{Patience, Sealing};

/// Limits and sizes of an [`EventStore`](crate::EventStore).
#[derive(Clone, Debug)]
pub struct Settings {
    /// The time limit of an append, reconnecting included. After it the caller gets `Unavailable`.
    pub append_timeout: Duration,
    /// The most appends that may wait; further ones are refused at once.
    pub queue: usize,
    /// The most appends of one tenant that may wait.
    pub queue_of_a_tenant: usize,
    /// The most bytes of payload, metadata, answers and arguments of jobs that unanswered appends may have together; further appends are
    /// refused at once. A single append that is larger is accepted if no other is waiting.
    pub queue_bytes: u32,
    /// The most appends in a batch.
    pub batch_appends: usize,
    /// The most events in a batch, which bounds how long the next append has to wait. A single append may have more, up to `append_events`.
    pub batch_events: usize,
    /// The most bytes of payload, metadata, answers and arguments of jobs in a batch.
    pub batch_bytes: usize,
    /// The most events in one append.
    pub append_events: usize,
    /// The largest event (payload and metadata), in bytes. Larger content belongs in the object store.
    pub event_bytes: usize,
    /// Keys for the encryption of personal data. `None`: it is stored unencrypted, and encrypted data can't be read.
    pub sealing: Option<Sealing>,
    /// The [mark](crate::claim_key_mark) of the key that hashes claims: a log of another key takes no appends. `None`: it is not checked.
    pub claim_key_mark: Option<String>,
    /// Connections for loading streams and replaying.
    pub read_connections: u32,
    /// Connections that read all tenants' events by position.
    pub follow_connections: u32,
    /// How long those connections wait for a server that may be gone.
    pub follow_patience: Patience,
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
            claim_key_mark: None,
            read_connections: 4,
            follow_connections: 4,
            follow_patience: Patience::default(),
        }
    }
}
