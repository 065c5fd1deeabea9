//! How a coordinator is doing, for operators.

use kernel::Position;

/// What a coordinator does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CoordinatorState {
    /// It begins.
    #[default]
    Starting,
    /// Another instance is active.
    Standby,
    /// It follows and drives.
    Active,
    /// Something does not answer; it tries again.
    Waiting {
        /// What.
        reason: String,
    },
    /// It has ended.
    Ended,
}

/// How a coordinator is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CoordinatorStatus {
    /// What it does.
    pub state: CoordinatorState,
    /// How far it followed the log; while it is not active: how far it was.
    pub position: Position,
    /// How many instances are stuck, or are of a definition that this program does not have, as of some seconds ago.
    pub stuck: u64,
    /// How many aggregates have events of which it can't be said whether they start a saga.
    pub parked: u64,
}
