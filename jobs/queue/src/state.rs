//! The state of a job.

use serde::Serialize;

/// The state of a job. In the table, the first three are one state, `waiting`; they are derived from the clock, so that no row has to
/// change when a job becomes due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It is due later.
    Scheduled,
    /// It is due, and waits for its tenant's turn.
    Available,
    /// It failed, and is retried later.
    Retryable,
    /// A process executes it.
    Running,
    /// Finished successfully.
    Completed,
    /// Cancelled by a person.
    Cancelled,
    /// Failed for good; a person may retry it.
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

    /// The state's name.
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
