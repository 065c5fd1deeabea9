//! Whether a service's database is prepared for this program, by what Postgres says.

use sqlx::error::DatabaseError;
use sqlx::{ConnectOptions, Connection, Executor};

use crate::database::QUESTION;
use crate::failure::has_code;
use crate::{Database, Error, Role, within};

/// SQLSTATE `invalid_catalog_name`.
const NO_SUCH_DATABASE: &str = "3D000";

/// Whether the error says that the database does not exist.
pub fn is_no_such_database(error: &sqlx::Error) -> bool {
    has_code(error, NO_SUCH_DATABASE)
}

/// SQLSTATEs: insufficient privilege; undefined table, column, schema.
const NOT_MIGRATED: [&str; 4] = ["42501", "42P01", "42703", "3F000"];

/// Whether a statement failed because the database lacks tables, columns or grants that this program expects: it was migrated by an older
/// program.
pub fn is_not_migrated(error: &(dyn std::error::Error + 'static)) -> bool {
    let storage = match error.downcast_ref() {
        Some(Error::Storage(error)) => Some(error),
        _ => error.downcast_ref::<sqlx::Error>(),
    };
    storage.is_some_and(|error| NOT_MIGRATED.iter().any(|code| has_code(error, code)))
}

/// Whether Postgres said that it has no such database, or does not know one of our roles with this password: nobody has migrated it with
/// these settings. (What it says of other roles concerns the admin.)
pub fn is_never_migrated(error: &(dyn std::error::Error + 'static)) -> bool {
    let Some(error) = error.downcast_ref::<Box<dyn DatabaseError>>() else { return false };
    match error.code().as_deref() {
        Some(NO_SUCH_DATABASE) => true,
        // A wrong password; a role that does not exist, or may not log in.
        Some("28P01" | "28000") => error.message().contains("\"inopsio_"),
        _ => false,
    }
}

/// Whether a pool gave no connection in time. (It tries again meanwhile, and does not say what it tried in vain.)
pub fn is_without_connection(error: &(dyn std::error::Error + 'static)) -> bool {
    matches!(error.downcast_ref(), Some(sqlx::Error::PoolTimedOut))
}

/// What to do about a database that is [unprepared](is_unprepared).
pub const ADVICE: &str =
    "Was `inopsio migrate` run with these settings? It makes the databases and roles, and sets the roles' password";

/// Whether one of the causes of an error is that the database was [not migrated for this program](is_not_migrated), or
/// [never](is_never_migrated) with these settings.
pub fn is_unprepared(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |cause| cause.source())
        .any(|cause| is_never_migrated(cause) || is_not_migrated(cause))
}

/// Looks whether a server can use a service's database as this role.
///
/// # Errors
/// If the database does not answer, or is [unprepared](is_unprepared).
pub async fn probe(database: &Database, role: Role) -> Result<(), Error> {
    let looked = async {
        let mut connection = database.options(role).disable_statement_logging().connect().await?;
        connection.execute("SELECT FROM log.head").await?;
        connection.close().await
    };
    Ok(within(QUESTION, looked).await?)
}
