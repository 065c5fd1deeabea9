//! How a job stands.

use serde::Serialize;

/// How a job stands. Three of them are one in the table, told apart by the clock: nothing has to move a job whose time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Its time has not come.
    Scheduled,
    /// It waits for its tenant's turn.
    Available,
    /// It failed, and is tried again later.
    Retryable,
    /// Somebody works at it.
    Running,
    /// Done.
    Completed,
    /// Somebody did not want it any more.
    Cancelled,
    /// It failed for good; a person may retry it.
    Discarded,
}

impl State {
    /// All states.
    pub const ALL: [Self; 7] = [
        Self::Scheduled,
        Self::Available,
        Self::Retryable,
        Self::Running,
        Self::Completed,
        Self::Cancelled,
        Self::Discarded,
    ];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Available => "available",
            Self::Retryable => "retryable",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
            Self::Discarded => "discarded",
        }
    }

    /// The state with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}
