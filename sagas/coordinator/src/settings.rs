//! The settings of a coordinator.

use std::time::Duration;

use deadletters::Backoff;

/// The settings of a coordinator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The number of instances that are executed concurrently.
    pub together: usize,
    /// The number of aggregates whose events are evaluated concurrently for sagas that they start.
    pub begun_together: usize,
    /// The number of steps or batches that an instance runs before others get their turn.
    pub slice: u32,
    /// The maximum number of events in a batch. Pages from the relay are taken whole, so with the last one a batch may have more.
    pub batch: u32,
    /// How long events from the relay are collected into a batch.
    pub gather: Duration,
    /// How often the log is polled while the feed is silent, so that sagas continue while the bus is unavailable.
    pub poll_interval: Duration,
    /// How often a standby coordinator tries to become active.
    pub stand_by: Duration,
    /// The longest time until a checkpoint is stored that has nothing else to be written with it.
    pub flush: Duration,
    /// The longest sleep. The machine's clock may be set meanwhile, and the driver has to notice.
    pub longest_sleep: Duration,
    /// The backoff of parked events.
    pub backoff: Backoff,
    /// The first pause of an instance whose state could not be read or written. It doubles with each further failure, up to
    /// `longest_sleep`.
    pub pause: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            together: 16,
            begun_together: 64,
            slice: 32,
            batch: 500,
            gather: Duration::from_millis(20),
            poll_interval: Duration::from_secs(1),
            stand_by: Duration::from_secs(1),
            flush: Duration::from_secs(1),
            longest_sleep: Duration::from_mins(1),
            backoff: Backoff::default(),
            pause: Duration::from_millis(500),
        }
    }
}
