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

    /// Where the log ends, while nothing can be published. Before it was asked once where the stream ends, nobody knows how much that is.
    pub(super) fn waits(&self, head: Position) {
        let Status { published, head: known, .. } = *self.status.borrow();
        if known > Position::START {
            self.progress(published, head);
        }
    }

    /// Whoever is active from now on says how much waits; what we knew of last would stand beside it for good.
    pub(super) fn withdraw(&self) {
        let published = self.status.borrow().published;
        self.progress(published, published);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_grows_with_the_log_and_is_nobodys_who_stands_by() {
        let reporter = Reporter::new(Service::new("crm"));
        let lag = || reporter.subscribe().borrow().lag();
        reporter.waits(Position(7));
        assert_eq!(lag(), 0, "it was not asked yet where the stream ends");
        reporter.progress(Position(5), Position(7));
        reporter.waits(Position(9));
        assert_eq!(lag(), 4);
        reporter.withdraw();
        assert_eq!((lag(), reporter.subscribe().borrow().published), (0, Position(5)));
    }
}
