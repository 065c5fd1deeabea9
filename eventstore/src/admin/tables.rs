//! Helpers for tables that other crates create in a service's database next to the log: read models, sagas, dead letters, webhooks, jobs.

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection, Executor, Postgres, Transaction};

use crate::{Database, LockKey};

/// Connects to a service's database as admin, without logging statements. `name` is the application name that Postgres shows.
///
/// # Errors
/// If the database does not answer, or [does not exist](super::is_no_such_database).
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
