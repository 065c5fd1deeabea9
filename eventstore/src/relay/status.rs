//! The status of a relay: its state, positions and metrics.

use kernel::{Position, Service};
use metrics::Gauge;
use tokio::sync::watch;

/// The status of a relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Its state.
    pub state: State,
    /// The last position that is known to be in the stream.
    pub published: Position,
    /// The last position that is known to be in the log.
    pub head: Position,
}

impl Status {
    /// The number of events that are in the log but not in the stream.
    pub const fn lag(&self) -> u64 {
        self.head.0.saturating_sub(self.published.0)
    }
}

/// The state of a relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It has not started yet.
    Starting,
    /// Another relay of the service is active.
    Standby,
    /// It publishes events.
    Active,
    /// The database or the bus does not answer; the relay retries.
    Waiting {
        /// What does not answer.
        reason: String,
    },
    /// The stream does not fit the log, or an event cannot be published: an operator has to resolve it. Nothing is published until then.
    Stuck {
        /// What is wrong, and what to do.
        reason: String,
    },
    /// It was shut down.
    Ended,
}

/// Publishes the status of a relay, as a `watch` channel, in the program's log and as a metric.
#[derive(Clone)]
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

    /// Sets the state. It is logged only when it changes.
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

    /// Sets the last positions of the stream and the log.
    pub(super) fn progress(&self, published: Position, head: Position) {
        self.status.send_if_modified(|status| {
            let moved = status.published != published || status.head != head;
            (status.published, status.head) = (published, head);
            moved
        });
        self.lag.set(head.0.saturating_sub(published.0) as f64);
    }

    /// Sets the last position of the log while nothing can be published. Does nothing before the stream's position was read for the first
    /// time, because the lag is unknown until then.
    pub(super) fn set_head(&self, head: Position) {
        let Status { published, head: known, .. } = *self.status.borrow();
        if known > Position::START {
            self.progress(published, head);
        }
    }

    /// Sets the lag to zero when this relay is no longer active: the relay that takes over reports the lag, and a stale value of this one
    /// would remain beside it.
    pub(super) fn clear_lag(&self) {
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
        reporter.set_head(Position(7));
        assert_eq!(lag(), 0, "it was not asked yet where the stream ends");
        reporter.progress(Position(5), Position(7));
        reporter.set_head(Position(9));
        assert_eq!(lag(), 4);
        reporter.clear_lag();
        assert_eq!((lag(), reporter.subscribe().borrow().published), (0, Position(5)));
    }
}
