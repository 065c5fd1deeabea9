//! Standing by until the lock can be acquired.

use nats::Bus;
use tokio::time::{MissedTickBehavior, interval};

use super::POLL_INTERVAL;
use super::status::{Reporter, State};
use crate::{EventStore, Lock};

/// Returns when this relay has acquired the lock. Meanwhile, appends of this process wake the active relay in another process.
pub(super) async fn until_active(store: &EventStore, bus: &Bus, lock: &mut Lock, reporter: &Reporter) {
    let mut appended = store.appended();
    let mut poll = interval(POLL_INTERVAL);
    poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = poll.tick() => match lock.acquire().await {
                Ok(true) => return,
                Ok(false) => reporter.report(State::Standby),
                Err(error) => reporter.report(State::Waiting { reason: format!("the database: {error}") }),
            },
            // The sender lives as long as the store, which is borrowed here.
            Ok(()) = appended.changed() => bus.wake(store.service()).await,
        }
    }
}
