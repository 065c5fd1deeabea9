//! The projector's settings.

use std::time::Duration;

use deadletters::Backoff;

/// Batch sizes and times of the projector. The defaults suit a single machine as well as many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How many batches of the feed are kept for a worker that is behind. When it is further behind, it reads the log instead.
    pub buffered_batches: usize,
    /// How many events are read from the log at once, and applied in one transaction; fewer if they are large.
    pub log_batch: u32,
    /// The time between the starts of two batches under load. It makes batches large: a batch costs much, one more event in it little.
    /// Without load (fewer than `busy` events in a batch) events are applied at once. So are the events of a tenant that come while another
    /// tenant's bulk of events causes the load.
    pub batch_interval: Duration,
    /// After a batch of at least this many events, the worker waits for `batch_interval` so that the next one is large.
    pub busy: usize,
    /// The wait ends early when this many events have come.
    pub enough: usize,
    /// How often a projection reads the log while the feed delivers nothing new, so that it continues without the bus.
    pub poll_interval: Duration,
    /// How often an instance looks for partitions that no instance applies, to take them over.
    pub stand_by: Duration,
    /// After how long a checkpoint is stored when there are no rows to write with it.
    pub flush: Duration,
    /// The longest pause between attempts while the database fails.
    pub max_backoff: Duration,
    /// The pauses between attempts to apply a parked event.
    pub backoff: Backoff,
    /// The most spans that one batch opens for events whose request is traced.
    pub traced_events: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            buffered_batches: 64,
            log_batch: 5_000,
            batch_interval: Duration::from_millis(40),
            busy: 64,
            enough: 500,
            poll_interval: Duration::from_secs(1),
            stand_by: Duration::from_secs(1),
            flush: Duration::from_millis(50),
            max_backoff: Duration::from_secs(5),
            backoff: Backoff::default(),
            traced_events: 16,
        }
    }
}
