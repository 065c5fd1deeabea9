//! How what runs of a service is doing, as `/ready` tells it.

use coordinator::{CoordinatorState, CoordinatorStatus};
use eventstore::relay;
use eventstore::seals::SealerState;
use kernel::Position;
use tokio::sync::watch;

/// How a service's relay is doing.
#[derive(Clone)]
pub struct RelayState(pub(super) watch::Receiver<relay::Status>);

impl RelayState {
    /// What is wrong with it, if anything is.
    pub fn trouble(&self) -> Option<String> {
        match &self.0.borrow().state {
            relay::State::Stuck { reason } | relay::State::Waiting { reason } => Some(reason.clone()),
            relay::State::Ended => Some("it has ended".to_owned()),
            relay::State::Starting | relay::State::Standby | relay::State::Active => None,
        }
    }

    /// How many events the stream is behind the log, as far as this relay knows.
    pub fn lag(&self) -> u64 {
        self.0.borrow().lag()
    }
}

/// How the sealing of a service's log is doing.
#[derive(Clone)]
pub struct SealingState(pub(super) watch::Receiver<SealerState>);

impl SealingState {
    /// What is wrong with it, if anything is.
    pub fn trouble(&self) -> Option<String> {
        match &*self.0.borrow() {
            SealerState::Fine => None,
            SealerState::Waiting { reason } => Some(reason.clone()),
        }
    }
}

/// How a service's sagas are doing.
#[derive(Clone)]
pub struct SagasState(pub(super) watch::Receiver<CoordinatorStatus>);

impl SagasState {
    /// What is wrong with them, if anything is.
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

    /// Up to where they have looked at the log; none: others do.
    pub(super) fn position(&self) -> Option<Position> {
        let status = self.0.borrow();
        (status.state == CoordinatorState::Active).then_some(status.position)
    }
}
