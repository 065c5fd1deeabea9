//! Helpers for tables that other crates create in a service's database next to the log: read models, sagas, dead letters, webhooks, jobs.

use sqlx::error::DatabaseError;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection, Executor, Postgres, Transaction};

use crate::database::QUESTION;
use crate::failure::has_code;
use crate::{Database, Error, LockKey, Role, within};

/// SQLSTATE `invalid_catalog_name`.
const NO_SUCH_DATABASE: &str = "3D000";

/// Connects to a service's database as admin, without logging statements. `name` is the application name that Postgres shows.
///
/// # Errors
/// If the database does not answer, or [does not exist](is_no_such_database).
pub async fn connect_to(
    admin: &PgConnectOptions,
    database: &Database,
    name: &str,
) -> Result<PgConnection, sqlx::Error> {
    let options = admin.clone().database(&database.name).application_name(name).disable_statement_logging();
    let mut connection = options.connect().await?;
    // Suppresses the notices "… already exists, skipping" of idempotent statements.
    connection.execute("SET client_min_messages = warning").await?;
    Ok(connection)
}

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
pub fn is_not_prepared(error: &(dyn std::error::Error + 'static)) -> bool {
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

/// What to do about a database that [is not prepared](is_unprepared).
pub const ADVICE: &str =
    "Was `inopsio migrate` run with these settings? It makes the databases and roles, and sets the roles' password";

/// Whether one of the causes of an error is that the database [was not migrated](is_not_migrated), or [not at all](is_not_prepared) with
/// these settings.
pub fn is_unprepared(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |cause| cause.source())
        .any(|cause| is_not_prepared(cause) || is_not_migrated(cause))
}

/// Looks whether a server can use a service's database, as one of its roles.
///
/// # Errors
/// If the database does not answer, or [is not prepared](is_unprepared).
pub async fn probe(database: &Database) -> Result<(), Error> {
    let looked = async {
        let mut connection = database.options(Role::Read).disable_statement_logging().connect().await?;
        connection.execute("SELECT FROM log.head").await?;
        connection.close().await
    };
    Ok(within(QUESTION, looked).await?)
}

/// Begins a transaction that acts as the service's owner, to create tables. The advisory lock admits one such transaction at a time.
///
/// # Errors
/// If the database does not answer, or the admin may not act as the owner.
pub async fn begin_as_owner<'c>(
    connection: &'c mut PgConnection,
    database: &Database,
    lock: LockKey,
) -> Result<Transaction<'c, Postgres>, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(lock.number()).execute(&mut *transaction).await?;
    transaction.execute(format!("SET LOCAL ROLE {}", database.owner()).as_str()).await?;
    Ok(transaction)
}
