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
    /// The tables are not of the program's version, so what they hold can't be compared with what it would make of the log.
    #[error(
        "the tables of {projection} are of version {stored}, the program's is {program}: run `inopsio projection rebuild` first"
    )]
    OtherVersion {
        /// Its name.
        projection: String,
        /// The version that the tables have.
        stored: u32,
        /// The version that the program has.
        program: u32,
    },
    /// The checkpoint went back, or the log ends before it.
    #[error("the checkpoint of {projection} went back, or is beyond the log's end: nothing was compared")]
    Moved {
        /// Its name.
        projection: String,
    },
    /// Other work holds the tables for too long.
    #[error(
        "the tables of {projection} were in use for too long to be swapped; the rebuild was given up, nothing changed"
    )]
    Busy {
        /// Its name.
        projection: String,
    },
    /// While the tables were built somebody decided about an event, each time.
    #[error(
        "while {projection} was built somebody decided about its dead letters, again and again; nothing changed: begin once more"
    )]
    Decided {
        /// Its name.
        projection: String,
    },
    /// The projection's tables were never made.
    #[error("the projection {projection} has no checkpoint: run `inopsio migrate` first")]
    NotMigrated {
        /// Its name.
        projection: String,
    },
    /// One rebuild or comparison of a projection at a time.
    #[error("the projection {projection} is being rebuilt, or compared with the log, already")]
    AlreadyRebuilding {
        /// Its name.
        projection: String,
    },
}
