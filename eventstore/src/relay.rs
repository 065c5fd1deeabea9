//! The relay publishes each event of the log to the bus, so that the event's position is its sequence in the stream.
//!
//! One relay of a service is active (it holds an advisory lock in the service's database), others stand by. The stream itself is the
//! checkpoint: its last sequence is requested at the start, after every refused publish, and every second. So a crash can neither skip nor
//! repeat an event, and a stream that was deleted or lost its tail is refilled from the log. A relay that wrongly believes to be active is
//! refused by the server, because each publish states the last sequence that it expects. A stream that does not fit the log (it is ahead of
//! it, or has other events) is never changed: the relay reports [`State::Stuck`] and checks again every second.

mod active;
mod source;
mod standby;
mod status;

use std::time::Duration;

use nats::Bus;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{EventStore, Lock, LockKey, Role};
use active::Active;
use status::Reporter;
pub use status::{State, Status};

/// How often an idle relay checks the log and the stream without being woken, and a standby tries to acquire the lock.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// The relay of one service. Clones share its status.
#[derive(Clone)]
pub struct Relay {
    store: EventStore,
    bus: Bus,
    replicas: usize,
    reporter: Reporter,
}

impl Relay {
    /// A relay from a log to a bus. It does nothing before [`run`](Self::run). If it creates the stream, the stream has one replica.
    pub fn new(store: EventStore, bus: Bus) -> Self {
        let reporter = Reporter::new(store.service());
        Self { store, bus, replicas: 1, reporter }
    }

    /// Sets the number of replicas of the stream in the NATS cluster.
    #[must_use]
    pub fn with_replicas(mut self, replicas: usize) -> Self {
        self.replicas = replicas;
        self
    }

    /// The current status of the relay, and its changes.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.reporter.subscribe()
    }

    /// Runs until `shutdown`. It survives outages of the database and the bus.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut lock = Lock::new(self.store.database(), Role::Follow, LockKey::Relay);
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                () = standby::until_active(&self.store, &self.bus, &mut lock, &self.reporter) => {}
            }
            tracing::info!(service = %self.store.service(), "the relay is active");
            let active = Active::new(&self.store, &self.bus, self.replicas, &self.reporter);
            let relaying = Relaying::begin(&self);
            let stopped = shutdown.run_until_cancelled(active.run(&mut lock)).await;
            drop(relaying);
            if stopped.is_none() {
                break;
            }
            tracing::warn!(service = %self.store.service(), "the relay lost its lock and stands by");
        }
        lock.release().await;
        self.reporter.report(State::Ended);
    }
}

/// Until this is dropped, also by a panic, the projections of this process get their events from this relay.
struct Relaying<'a>(&'a Relay);

impl<'a> Relaying<'a> {
    fn begin(relay: &'a Relay) -> Self {
        relay.store.channels().relaying.send_replace(true);
        Self(relay)
    }
}

impl Drop for Relaying<'_> {
    fn drop(&mut self) {
        self.0.store.channels().relaying.send_replace(false);
        self.0.reporter.clear_lag();
    }
}
