//! Errors of the coordinator itself.

use kernel::Refusal;

/// An error of the coordinator. Failing steps are not among these: they are retried, undone or parked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database refused a statement or does not answer.
    #[error("the sagas' database: {0}")]
    Storage(#[from] sqlx::Error),
    /// The log does not answer, or can't be read.
    #[error("the log: {0}")]
    Log(#[from] eventstore::Error),
    /// The executor refused to load or append an instance's state.
    #[error("a saga's state: {0}")]
    State(#[from] Refusal),
    /// The tables are missing, or have an earlier program's form.
    #[error("the tables of sagas are missing, or of an earlier program: run `inopsio migrate` first")]
    NotMigrated,
    /// The program does not have the definition on which an instance runs.
    #[error("this program has no version {version} of {saga}; it waits for one that does")]
    DefinitionMissing {
        /// The saga's name.
        saga: String,
        /// The definition's version.
        version: u32,
    },
    /// Another coordinator moved the checkpoint, so this one is not the active one.
    #[error("the checkpoint was moved by another coordinator")]
    Overtaken,
}

impl Error {
    /// Whether the tenant is closed: it is being moved to another cell, or was destroyed. Its instances do not run here any more, so this
    /// is not a failure.
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
