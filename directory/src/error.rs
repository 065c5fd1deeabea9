//! [`DirectoryError`]: why the directory can't be used.

use std::sync::Arc;

use kernel::TenantId;

/// The reason why the directory can't be used, or a tenant can't be created.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// The slug is invalid.
    #[error("{0:?} is not a slug: allowed are 2 to 40 lower-case letters, digits and hyphens, a letter first")]
    Slug(String),
    /// The tenant lives in another cell.
    #[error("the tenant lives in the cell {0}: give this command the configuration of that cell")]
    Elsewhere(String),
    /// The name is empty, too long, or has control characters.
    #[error("a tenant's name has 1 to 200 characters and no control characters")]
    Name,
    /// The slug is taken.
    #[error("the tenant {0} exists already")]
    Exists(String),
    /// A tenant of a backup conflicts with another one in the directory.
    #[error(
        "the directory has the tenant {slug} ({tenant_id}) already, and the backup has another one under that name or id"
    )]
    Differs {
        /// Its short name, here.
        slug: String,
        /// Its id, here.
        tenant_id: TenantId,
    },
    /// There is no such tenant.
    #[error("there is no tenant {0}; `inopsio tenant list` shows those that there are")]
    Unknown(String),
    /// `postgres.admin_url` is missing or can't be read.
    #[error(
        "postgres.admin_url (INOPSIO_POSTGRES_ADMIN_URL) is needed for this, and {0}; allowed is the URL of a role that may create \
         databases and roles, such as postgres://postgres:password@db.internal/postgres"
    )]
    Admin(String),
    /// The name of the directory's database is not one.
    #[error(
        "postgres.directory (INOPSIO_POSTGRES_DIRECTORY): {0:?} is not allowed; allowed are lower-case letters, digits and _"
    )]
    DatabaseName(String),
    /// Postgres refused.
    #[error("the directory of tenants: {}", by_postgres(.0))]
    Storage(Arc<sqlx::Error>),
}

/// The message of an error of Postgres. When it gives no connection, which settings say where it is.
fn by_postgres(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::PoolTimedOut => {
            "Postgres gave no connection within 3 s where postgres.host and postgres.port, or directory.url, say"
                .to_owned()
        }
        said => said.to_string(),
    }
}

// Not derived by `#[from]`, because the message contains the error of Postgres, which must not be reported again as its source.
impl From<sqlx::Error> for DirectoryError {
    fn from(error: sqlx::Error) -> Self {
        Self::Storage(Arc::new(error))
    }
}
