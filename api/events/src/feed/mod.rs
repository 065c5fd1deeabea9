//! A tenant's events as they happen, as server-sent events.
//!
//! A feed first reads the log after the position that the client names, then switches to live events from the bus ([`source`]).
//! It subscribes to the bus before it reads the log, so that no event is lost in between, and skips live events that it has
//! already sent. If a client is too slow for the live subscription, the feed reads the log again, at the client's pace; so memory
//! is bounded however slow the client is. Each event's id is the feed's [`cursor`]: `crm=1234`, or `crm=1234,erp=77` if it follows
//! several services.

mod cursor;
mod rest;
mod running;
mod source;
mod stream;

use std::time::Duration;

pub use rest::Feeds;
pub use running::RunningFeeds;

/// Limits and intervals of feeds.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Maximum number of feeds that a tenant can have open at a time, per process.
    pub per_tenant: usize,
    /// Interval of the heartbeats, which carry the feed's cursor, while there are no events to send. If the bus delivers nothing for as
    /// long, the feed also polls the log, in case the bus is down.
    pub heartbeat: Duration,
}
