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
    /// The tables were never made.
    #[error("sagas have no checkpoint: run `inopsio migrate` first")]
    NotMigrated,
    /// Another coordinator moved the checkpoint.
    #[error("the checkpoint was moved by another coordinator")]
    Overtaken,
}
