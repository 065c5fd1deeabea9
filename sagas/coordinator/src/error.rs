//! What can go wrong in the coordinator itself.

use kernel::Refusal;

/// A failure of the runtime. Steps that fail are none: those are retried, taken back, or parked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database refused or does not answer.
    #[error("the sagas' database: {0}")]
    Storage(#[from] sqlx::Error),
    /// The log can't be read.
    #[error("the log: {0}")]
    Log(#[from] eventstore::Error),
    /// The executor did not take a saga's state.
    #[error("a saga's state: {0}")]
    State(#[from] Refusal),
    /// The tables were never made, or are of an earlier program.
    #[error("the tables of sagas are missing, or of an earlier program: run `inopsio migrate` first")]
    NotMigrated,
    /// An instance runs on a definition that this program does not have.
    #[error("this program has no version {version} of {saga}; it waits for one that does")]
    DefinitionMissing {
        /// The saga's name.
        saga: String,
        /// The definition's version.
        version: u32,
    },
    /// Another coordinator moved the checkpoint.
    #[error("the checkpoint was moved by another coordinator")]
    Overtaken,
}

impl Error {
    /// Nothing is written of this tenant here: it is being moved, or was destroyed. What it had here goes with it, as is meant.
    pub(crate) fn is_closed(&self) -> bool {
        matches!(self, Self::State(refusal) if refusal.code() == "tenant_moving")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_written_of_a_tenant_that_moves_or_is_gone_is_no_failure() {
        let refused = |code| Error::State(Refusal::unavailable(code, "not now"));
        assert!(refused("tenant_moving").is_closed());
        assert!(!refused("log_unavailable").is_closed() && !Error::Overtaken.is_closed());
    }
}
