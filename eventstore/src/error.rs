//! Errors of reading, opening or migrating the log.

use crate::append;

/// Why the log can't be read, opened or migrated.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database does not answer, or not in time.
    #[error("the log is not available: {0}")]
    Unavailable(String),
    /// A migration that was applied earlier differs from the one in this program.
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
    /// The claims of the log are hashed under another key.
    #[error(
        "the claims of this log are hashed under another key than postgres.claim_key (INOPSIO_CLAIM_KEY) here, so nothing that is taken \
         would be found; set the key that it has had from the beginning"
    )]
    ClaimKey,
    /// Other master keys than ours wrapped all keys of the log's tenants.
    #[error(
        "the keys of this log's tenants are wrapped by the master key {wrapped_by}, and auth.master_key (INOPSIO_MASTER_KEY) here is \
         {ours}, which opens none of them: set the one that wrapped them; if {ours} is to follow it, set it as auth.former_master_key \
         (INOPSIO_FORMER_MASTER_KEY), too, and run inopsio key rewrap"
    )]
    MasterKey {
        /// The names of the master keys that wrapped them.
        wrapped_by: String,
        /// The name of the master key that is configured.
        ours: String,
    },
    /// The log must be empty, but something was written to it.
    #[error(
        "the log of {service} is not empty: it ends at position {head}; a backup is restored into databases of its own"
    )]
    NotEmpty {
        /// The service.
        service: kernel::Service,
        /// The log's last position.
        head: kernel::Position,
    },
    /// A table next to the log must be empty, but has rows.
    #[error(
        "{table} of {service} is not empty: somebody set something up there (limits or a pause of a queue for all tenants, say), which \
         would be mixed with the backup's; a backup is restored into databases of its own"
    )]
    NotEmptyBeside {
        /// The service.
        service: kernel::Service,
        /// The table that has rows.
        table: &'static str,
    },
    /// A seal covers more events of a tenant than there are.
    #[error(
        "the log of {service} has {events} events of the tenant {tenant}, and {sealed} were sealed: the end of its history is missing"
    )]
    CutOff {
        /// The service.
        service: kernel::Service,
        /// The tenant.
        tenant: kernel::TenantId,
        /// How many events there are.
        events: u64,
        /// The number of events that the last seal covers.
        sealed: u64,
    },
    /// Personal data is encrypted, and no master key is configured.
    #[error("personal data in the log is sealed: auth.master_key (INOPSIO_MASTER_KEY) is needed to open it")]
    NoMasterKey,
    /// A key operation failed, for instance decryption.
    #[error("what is sealed in the log can't be opened: {0}")]
    Key(keys::Error),
    /// A stored value is invalid for this program.
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
