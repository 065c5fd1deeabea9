//! What can be tuned.

use std::time::Duration;

use deadletters::Backoff;

/// How a coordinator works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How many instances are driven at the same time.
    pub together: usize,
    /// Of how many aggregates events are asked about at the same time whether they start a saga, which then begin together.
    pub begun_together: usize,
    /// How many steps or batches of an instance run before others get their turn.
    pub slice: u32,
    /// How many events are taken over at once.
    pub batch: u32,
    /// How long events of the relay are gathered before they are taken over.
    pub gather: Duration,
    /// How often the log is looked at while the feed is silent, so that sagas go on while the bus is away.
    pub look: Duration,
    /// How often an instance that stands by tries to take over.
    pub stand_by: Duration,
    /// How long a checkpoint may wait to be stored when nothing else is to be written with it.
    pub flush: Duration,
    /// The longest sleep: a machine's clock may be set, and what counts is what it shows then.
    pub longest_sleep: Duration,
    /// How long an event of which it can't be said whether it starts a saga rests before it is asked about again.
    pub backoff: Backoff,
    /// How long the driver lets an instance alone whose state could not be read or written; twice as long after each further
    /// failure, up to `longest_sleep`.
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
            look: Duration::from_secs(1),
            stand_by: Duration::from_secs(1),
            flush: Duration::from_secs(1),
            longest_sleep: Duration::from_mins(1),
            backoff: Backoff::default(),
            pause: Duration::from_millis(500),
        }
    }
}
