//! Standing by until the lock is free.

use nats::Bus;
use tokio::time::{MissedTickBehavior, interval};

use super::LOOK;
use super::status::{Reporter, State};
use crate::{EventStore, Lock};

/// Returns when the lock is ours. Meanwhile what this process appends wakes the active relay, wherever it is.
pub(super) async fn until_active(store: &EventStore, bus: &Bus, lock: &mut Lock, reporter: &Reporter) {
    let mut appended = store.appended();
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = look.tick() => match lock.acquire().await {
                Ok(true) => return,
                Ok(false) => reporter.report(State::Standby),
                Err(error) => reporter.report(State::Waiting { reason: format!("the database: {error}") }),
            },
            // The sender lives as long as the store that we hold.
            Ok(()) = appended.changed() => bus.wake(store.service()).await,
        }
    }
}
