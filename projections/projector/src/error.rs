//! What can go wrong around read models.

/// A failure of the runtime itself. Events that can't be applied are none: they are parked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database refused or does not answer.
    #[error("the read models' database: {0}")]
    Storage(#[from] sqlx::Error),
    /// The log can't be read.
    #[error("the log: {0}")]
    Log(#[from] eventstore::Error),
    /// The projection is not as a projection has to be.
    #[error("the projection {projection} can't be used: {reason}")]
    Unfit {
        /// Its name.
        projection: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Other work holds the tables for too long.
    #[error(
        "the tables of {projection} were in use for too long to be swapped; the rebuild was given up, nothing changed"
    )]
    Busy {
        /// Its name.
        projection: String,
    },
    /// The projection's tables were never made.
    #[error("the projection {projection} has no checkpoint: run `inopsio migrate` first")]
    NotMigrated {
        /// Its name.
        projection: String,
    },
    /// One rebuild of a projection at a time.
    #[error("the projection {projection} is being rebuilt already")]
    AlreadyRebuilding {
        /// Its name.
        projection: String,
    },
}
