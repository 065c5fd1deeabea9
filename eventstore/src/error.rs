//! What can go wrong when the log is read, opened or migrated.

use crate::append;

/// A log that can't be read, opened or migrated.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database does not answer, or not in time.
    #[error("the log is not available: {0}")]
    Unavailable(String),
    /// A migration that was applied before is not the one in this program.
    #[error("migration {name} was changed after it was applied; restore the released file and add a new one")]
    MigrationChanged {
        /// The migration's file name.
        name: String,
    },
    /// The database was migrated by a newer program.
    #[error("the database has migration {name}, which this program does not know; use the newer program")]
    MigrationUnknown {
        /// The migration's file name.
        name: String,
    },
    /// A role of the service is not bound by row level security.
    #[error("the role {role} is a superuser or bypasses row level security; take that from it")]
    RoleUnbound {
        /// The role's name.
        role: String,
    },
    /// Something was written to a log that must be empty.
    #[error(
        "the log of {service} is not empty: it ends at position {head}; a backup is restored into databases of its own"
    )]
    NotEmpty {
        /// Whose log.
        service: kernel::Service,
        /// Where it ends.
        head: kernel::Position,
    },
    /// Somebody set something up beside a log that must have nothing there.
    #[error(
        "{table} of {service} is not empty: somebody set something up there (limits or a pause of a queue for all tenants, say), which \
         would be mixed with the backup's; a backup is restored into databases of its own"
    )]
    NotEmptyBeside {
        /// Whose log.
        service: kernel::Service,
        /// The table that has rows.
        table: &'static str,
    },
    /// More of a tenant's history was sealed than there is.
    #[error(
        "the log of {service} has {events} events of the tenant {tenant}, and {sealed} were sealed: the end of its history is missing"
    )]
    CutOff {
        /// Whose log.
        service: kernel::Service,
        /// Whose history.
        tenant: kernel::TenantId,
        /// How many events there are.
        events: u64,
        /// Of how many the last seal is.
        sealed: u64,
    },
    /// Personal data is sealed, and there is no master key.
    #[error("personal data in the log is sealed: auth.master_key (INOPSIO_MASTER_KEY) is needed to open it")]
    NoMasterKey,
    /// A key does not open what it should.
    #[error("what is sealed in the log can't be opened: {0}")]
    Key(keys::Error),
    /// What stands in the log is not what this program can hold.
    #[error("a row of the log can't be read: {0}")]
    Corrupt(String),
    /// Postgres refused.
    #[error(transparent)]
    Storage(#[from] sqlx::Error),
}

impl From<append::Error> for Error {
    fn from(error: append::Error) -> Self {
        match error {
            append::Error::Storage(error) => Self::Storage(error),
            append::Error::Keyless(error) => Self::Key(error),
            other => Self::Unavailable(other.to_string()),
        }
    }
}
