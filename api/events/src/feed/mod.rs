//! A tenant's events as they happen, as server-sent events.
//!
//! A feed begins in the log, after the position that the client names, and goes over to what the bus brings ([`source`]):
//! it subscribes first and reads the log then, so that nothing falls between the two, and passes over what it had. A client
//! that is too slow for the bus is led back to the log, which waits for it; so memory is bounded whatever the client does.
//! Each event's id is the feed's [`cursor`]: `crm=1234`, or `crm=1234,erp=77` where several services are followed.

mod cursor;
mod rest;
mod running;
mod source;
mod stream;

use std::time::Duration;

pub use rest::Feeds;
pub use running::RunningFeeds;

/// How feeds work.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The most feeds of a tenant at a time, a process.
    pub per_tenant: usize,
    /// How often a feed says that it is there, and how far it has come, while nothing that was asked for happens. So often
    /// it also looks into the log, in case the bus is away.
    pub heartbeat: Duration,
}
