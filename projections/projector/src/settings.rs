//! What can be tuned.

use std::time::Duration;

use deadletters::Backoff;

/// How the projector works. The defaults are good for one machine and for many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How many batches of the feed a projection may fall behind before it reads the log instead.
    pub buffered_batches: usize,
    /// How many events are read from the log at once, and so applied in one transaction; fewer if they are large.
    pub log_batch: u32,
    /// A projection that is kept busy begins its batches so far apart, so that they are large: a batch costs much, one more
    /// event in it little. What comes slower than `busy` in this time is applied at once; and so is what comes while another
    /// tenant's bulk keeps the projection busy.
    pub stride: Duration,
    /// How many events make a batch that is worth waiting for more.
    pub busy: usize,
    /// So many events that wait are a large batch already.
    pub enough: usize,
    /// How often a projection that hears nothing from the feed looks into the log, so that it goes on while the bus is away.
    pub look: Duration,
    /// How often an instance looks for what nobody applies, so that it takes that over.
    pub stand_by: Duration,
    /// How long a checkpoint may wait to be stored when nothing else is to be written with it.
    pub flush: Duration,
    /// The longest pause between attempts when the database does not do its part.
    pub max_backoff: Duration,
    /// How long an event that can't be applied rests before it is tried again.
    pub backoff: Backoff,
    /// How many spans one batch opens for events whose request is traced.
    pub traced_events: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            buffered_batches: 64,
            log_batch: 5_000,
            stride: Duration::from_millis(40),
            busy: 64,
            enough: 500,
            look: Duration::from_secs(1),
            stand_by: Duration::from_secs(1),
            flush: Duration::from_millis(50),
            max_backoff: Duration::from_secs(5),
            backoff: Backoff::default(),
            traced_events: 16,
        }
    }
}
