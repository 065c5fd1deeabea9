//! The status of a coordinator, for operators.

use kernel::Position;

/// The state of a coordinator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CoordinatorState {
    /// It is starting.
    #[default]
    Starting,
    /// Another coordinator is active.
    Standby,
    /// It is active.
    Active,
    /// A dependency does not answer; it retries.
    Waiting {
        /// Which one and why.
        reason: String,
    },
    /// It has stopped.
    Ended,
}

/// The status of a coordinator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CoordinatorStatus {
    /// Its state.
    pub state: CoordinatorState,
    /// The position up to which it has processed the log; while it is not active, the last position that it had reached.
    pub position: Position,
    /// The number of instances that are stuck, or have a definition that this program does not have. Some seconds old.
    pub stuck: u64,
    /// The number of aggregates with parked events.
    pub parked: u64,
}
