//! Why a tenant can't be moved.

use eventstore::transfer::TransferError;

use crate::placements::PlacementsError;
use crate::tenants::DirectoryError;

/// A tenant that can't be moved.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// The map.
    #[error(transparent)]
    Placements(#[from] PlacementsError),
    /// The directory.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// A cell that is not configured.
    #[error(
        "the cell {name} is not in the configuration file; a section [cells.<name>] says how it is reached, and {known}"
    )]
    UnknownCell {
        /// Its name.
        name: String,
        /// Those that are.
        known: String,
    },
    /// How a cell's Postgres is reached is not configured, or can't be read.
    #[error("cells.{0}.admin_url is needed to move a tenant from or to it: the URL of its Postgres, as a superuser")]
    AdminUrl(String),
    /// Two names of one cell.
    #[error("the cells {0} and {1} are the same Postgres: see admin_url of each")]
    Same(String, String),
    /// Somebody else is at it.
    #[error("the tenant {0} is being moved by another process")]
    Busy(String),
    /// A database.
    #[error("the log of {service} in the cell {cell}: {error}")]
    Transfer {
        /// Whose.
        service: &'static str,
        /// Where.
        cell: String,
        /// What.
        error: TransferError,
    },
    /// Something about the tenant has to be settled first.
    #[error("{0}")]
    Unsettled(String),
    /// Each time before the tenant was to live in its new cell somebody decided about a dead letter.
    #[error(
        "while the tenant was moved somebody decided about dead letters of {0}, again and again; it goes on where it was: move it once more"
    )]
    Decided(&'static str),
    /// A read model, or rows of sagas, that lack what was purged, or decided, can't be built anew.
    #[error(
        "the read models and sagas of {service} in the cell {cell} lack what was purged there, or decided, and can't be built anew: {error}"
    )]
    NotBuilt {
        /// Whose.
        service: &'static str,
        /// Where.
        cell: String,
        /// Why.
        error: String,
    },
    /// The new cell's read models do not follow.
    #[error(
        "the read models of {service} in the cell {cell} are at position {reached}, not at {wanted}: does `inopsio serve` run there?"
    )]
    Behind {
        /// Whose.
        service: &'static str,
        /// Where.
        cell: String,
        /// Where they are.
        reached: u64,
        /// Where they should be.
        wanted: u64,
    },
}

impl From<sqlx::Error> for MoveError {
    fn from(error: sqlx::Error) -> Self {
        Self::Directory(error.into())
    }
}

pub(super) type Result<T> = std::result::Result<T, MoveError>;

/// Says in which cell it was.
pub(super) fn at<T>(cell: &str, done: std::result::Result<T, TransferError>, service: &'static str) -> Result<T> {
    done.map_err(|error| MoveError::Transfer { service, cell: cell.to_owned(), error })
}
