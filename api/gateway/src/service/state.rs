//! The states of a service's background tasks, for `/ready`.

use coordinator::{CoordinatorState, CoordinatorStatus};
use eventstore::relay;
use eventstore::seals::SealerState;
use kernel::Position;
use tokio::sync::watch;

/// The state of a service's relay.
#[derive(Clone)]
pub struct RelayState(pub(super) watch::Receiver<relay::Status>);

impl RelayState {
    /// The reason why it does not work, if it does not.
    pub fn trouble(&self) -> Option<String> {
        match &self.0.borrow().state {
            relay::State::Stuck { reason } | relay::State::Waiting { reason } => Some(reason.clone()),
            relay::State::Ended => Some("it has ended".to_owned()),
            relay::State::Starting | relay::State::Standby | relay::State::Active => None,
        }
    }

    /// The lag of the stream behind the log in events, as far as this relay knows.
    pub fn lag(&self) -> u64 {
        self.0.borrow().lag()
    }
}

/// The state of a service's sealer.
#[derive(Clone)]
pub struct SealingState(pub(super) watch::Receiver<SealerState>);

impl SealingState {
    /// The reason why it does not work, if it does not.
    pub fn trouble(&self) -> Option<String> {
        match &*self.0.borrow() {
            SealerState::Fine => None,
            SealerState::Waiting { reason } => Some(reason.clone()),
        }
    }
}

/// The state of a service's sagas.
#[derive(Clone)]
pub struct SagasState(pub(super) watch::Receiver<CoordinatorStatus>);

impl SagasState {
    /// The reason why they do not work, if they do not, or need attention.
    pub fn trouble(&self) -> Option<String> {
        let status = self.0.borrow();
        match &status.state {
            CoordinatorState::Waiting { reason } => Some(reason.clone()),
            CoordinatorState::Ended => Some("they have ended".to_owned()),
            _ if status.stuck > 0 || status.parked > 0 => Some(format!(
                "{} are stuck, {} are dead letters: see inopsio saga list and inopsio dlq list",
                status.stuck, status.parked
            )),
            _ => None,
        }
    }

    /// The position up to which they have processed the log; none: the active coordinator is in another process.
    pub(super) fn position(&self) -> Option<Position> {
        let status = self.0.borrow();
        (status.state == CoordinatorState::Active).then_some(status.position)
    }
}
