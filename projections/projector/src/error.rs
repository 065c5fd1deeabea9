//! Errors of the runtime.

/// A failure of the runtime itself. An event that can't be applied is not an error here: it is parked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database refused a statement or does not answer.
    #[error("the read models' database: {0}")]
    Storage(#[from] sqlx::Error),
    /// The log can't be read.
    #[error("the log: {0}")]
    Log(#[from] eventstore::Error),
    /// The projection breaks a rule, for example for names, or the number of partitions is not possible.
    #[error("the projection {projection} can't be used: {reason}")]
    Unfit {
        /// Its name.
        projection: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The tables are of another version than the program, so their rows can't be compared with those that the program builds from the log.
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
    /// Other transactions held locks on the tables for too long.
    #[error(
        "the tables of {projection} were in use for too long to be swapped; the rebuild was given up, nothing changed"
    )]
    Busy {
        /// Its name.
        projection: String,
    },
    /// In every attempt an operator decided about a dead letter while the tables were built.
    #[error(
        "while {projection} was built somebody decided about its dead letters, again and again; nothing changed: begin once more"
    )]
    Decided {
        /// Its name.
        projection: String,
    },
    /// The projection's tables do not exist yet.
    #[error("the projection {projection} has no checkpoint: run `inopsio migrate` first")]
    NotMigrated {
        /// Its name.
        projection: String,
    },
    /// Another rebuild or comparison of the projection is running, or a moved tenant's former copy is being purged.
    #[error(
        "the projection {projection} is being rebuilt, or compared with the log, already; or the former copy of a tenant that moved is being purged"
    )]
    AlreadyRebuilding {
        /// Its name.
        projection: String,
    },
}
