//! The relay: puts each event of the log on the bus, at the stream sequence that is its position.
//!
//! One relay of a service is active (it holds an advisory lock in the service's database), others stand by. The stream
//! itself says where to go on: what it has last is asked of the server at the start, after every refusal, and every second,
//! so that a crash can neither skip nor repeat an event, and a stream that was deleted or lost its tail is filled again from
//! the log. A relay that believes itself active and is not is refused by the server: each publish names the sequence that it
//! must follow on. A stream that does not fit the log (it is ahead of it, or has other events) is never touched: the relay
//! says [`State::Stuck`] and looks again every second.

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

/// How often an idle relay looks after lock, log and stream by itself, and one that stands by tries to take over.
const LOOK: Duration = Duration::from_secs(1);

/// The relay of one service.
pub struct Relay {
    store: EventStore,
    bus: Bus,
    replicas: usize,
    reporter: Reporter,
}

impl Relay {
    /// A relay from a log to a bus; it does nothing before [`run`](Self::run). A stream that it has to make has one replica.
    pub fn new(store: EventStore, bus: Bus) -> Self {
        let reporter = Reporter::new(store.service());
        Self { store, bus, replicas: 1, reporter }
    }

    /// How many servers of a cluster keep the stream.
    #[must_use]
    pub fn with_replicas(mut self, replicas: usize) -> Self {
        self.replicas = replicas;
        self
    }

    /// What the relay does, now and later.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.reporter.subscribe()
    }

    /// Runs until `shutdown`. Database and bus may come and go meanwhile.
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
            let relaying = &self.store.passing().relaying;
            relaying.send_replace(true);
            let stopped = shutdown.run_until_cancelled(active.run(&mut lock)).await;
            relaying.send_replace(false);
            self.reporter.withdraw();
            if stopped.is_none() {
                break;
            }
            tracing::warn!(service = %self.store.service(), "the relay lost its lock and stands by");
        }
        lock.release().await;
        self.reporter.report(State::Ended);
    }
}
