//! Errors of moving a tenant.

use eventstore::transfer::TransferError;

use crate::error::DirectoryError;
use crate::placements::PlacementsError;

/// The reason why a tenant can't be moved.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// An error of the placements.
    #[error(transparent)]
    Placements(#[from] PlacementsError),
    /// An error of the directory.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The cell is not configured.
    #[error(
        "the cell {name} is not in the configuration file; a section [cells.<name>] says how it is reached, and {known}"
    )]
    UnknownCell {
        /// Its name.
        name: String,
        /// The configured cells, as part of the message.
        known: String,
    },
    /// The URL of a cell's Postgres is missing or invalid.
    #[error("cells.{0}.admin_url is needed to move a tenant from or to it: the URL of its Postgres, as a superuser")]
    AdminUrl(String),
    /// Both cells are the same Postgres cluster.
    #[error("the cells {0} and {1} are the same Postgres: see admin_url of each")]
    Same(String, String),
    /// Another process moves or deletes the tenant.
    #[error("the tenant {0} is being moved by another process")]
    Busy(String),
    /// An error while copying a log between cells.
    #[error("the log of {service} in the cell {cell}: {error}")]
    Transfer {
        /// The service.
        service: &'static str,
        /// The cell.
        cell: String,
        /// The error.
        error: TransferError,
    },
    /// The tenant is not in a state to be moved, for example because it has dead letters.
    #[error("{0}")]
    Unsettled(String),
    /// In every attempt an operator decided about a dead letter just before the cutover.
    #[error(
        "while the tenant was moved somebody decided about dead letters of {0}, again and again; it goes on where it was: move it once more"
    )]
    Decided(&'static str),
    /// A read model, or the rows of sagas, can't be rebuilt. They lack purged events, or events about which operators decided.
    #[error(
        "the read models and sagas of {service} in the cell {cell} lack what was purged there, or decided, and can't be built anew: {error}"
    )]
    NotBuilt {
        /// The service.
        service: &'static str,
        /// The cell.
        cell: String,
        /// The reason.
        error: String,
    },
    /// The new cell's read models did not catch up in time.
    #[error(
        "the read models of {service} in the cell {cell} are at position {reached}, not at {wanted}: does `inopsio serve` run there?"
    )]
    Behind {
        /// The service.
        service: &'static str,
        /// The cell.
        cell: String,
        /// The position that they reached.
        reached: u64,
        /// The position that was waited for.
        wanted: u64,
    },
}

impl From<sqlx::Error> for MoveError {
    fn from(error: sqlx::Error) -> Self {
        Self::Directory(error.into())
    }
}

pub(super) type Result<T> = std::result::Result<T, MoveError>;

/// Adds the service and the cell to an error.
pub(super) fn at<T>(cell: &str, done: std::result::Result<T, TransferError>, service: &'static str) -> Result<T> {
    done.map_err(|error| MoveError::Transfer { service, cell: cell.to_owned(), error })
}
