//! What a relay tells of itself.

use kernel::{Position, Service};
use metrics::Gauge;
use tokio::sync::watch;

/// What a relay does at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// What it is about.
    pub state: State,
    /// The last position that is known to be in the stream.
    pub published: Position,
    /// The last position that is known to be in the log.
    pub head: Position,
}

impl Status {
    /// How many events the stream is behind the log.
    pub const fn lag(&self) -> u64 {
        self.head.0.saturating_sub(self.published.0)
    }
}

/// What a relay is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It has not begun yet.
    Starting,
    /// Another relay of the service is active.
    Standby,
    /// It publishes what the log has.
    Active,
    /// Database or bus do not answer; it tries again.
    Waiting {
        /// What is missing.
        reason: String,
    },
    /// The stream does not fit the log, or an event cannot be published: a person has to look. Nothing is published over it.
    Stuck {
        /// What does not fit, and what to do.
        reason: String,
    },
    /// It was shut down.
    Ended,
}

/// Tells the world what a relay does.
pub(super) struct Reporter {
    status: watch::Sender<Status>,
    lag: Gauge,
}

impl Reporter {
    pub(super) fn new(service: Service) -> Self {
        metrics::describe_gauge!("inopsio_relay_lag_events", "Events of the log that are not in the stream yet");
        let start = Status { state: State::Starting, published: Position::START, head: Position::START };
        Self {
            status: watch::channel(start).0,
            lag: metrics::gauge!("inopsio_relay_lag_events", "service" => service.name()),
        }
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// A new state; said once in the log however often it is reported.
    pub(super) fn report(&self, state: State) {
        self.status.send_if_modified(|status| {
            if status.state == state {
                return false;
            }
            match &state {
                State::Stuck { reason } => tracing::error!(reason, "the relay is stuck"),
                State::Waiting { reason } => tracing::warn!(reason, "the relay waits"),
                state => tracing::debug!(?state, "the relay"),
            }
            status.state = state;
            true
        });
    }

    /// Where stream and log end.
    pub(super) fn progress(&self, published: Position, head: Position) {
        self.status.send_if_modified(|status| {
            let moved = status.published != published || status.head != head;
            (status.published, status.head) = (published, head);
            moved
        });
        self.lag.set(head.0.saturating_sub(published.0) as f64);
    }
}
