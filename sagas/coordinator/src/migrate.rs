//! Making the coordinator's tables.

use eventstore::{Database, LockKey};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, Executor};

use crate::{Error, passed_over};

/// SQLSTATE `invalid_catalog_name`.
const NO_SUCH_DATABASE: &str = "3D000";

/// Makes what is missing; whether anything was. A dry run changes nothing, and the database need not exist yet. Run `eventstore::admin::migrate` before it. Safe to run again and at the same
/// time.
///
/// `admin` connects to any database of the cluster and may act as the service's owner.
pub async fn migrate(admin: &PgConnectOptions, database: &Database, dry_run: bool) -> Result<bool, Error> {
    let options = admin.clone().database(&database.name).application_name("inopsio sagas").disable_statement_logging();
    let mut connection = match options.connect().await {
        Err(sqlx::Error::Database(error)) if dry_run && error.code().as_deref() == Some(NO_SUCH_DATABASE) => {
            return Ok(true);
        }
        connected => connected?,
    };
    // "… already exists, skipping" is what this is for, not news.
    connection.execute("SET client_min_messages = warning").await?;
    let mut transaction = connection.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(LockKey::MigratingSagas.number())
        .execute(&mut *transaction)
        .await?;
    // Of all tables the one that came last.
    let known = passed_over::is_migrated(&mut *transaction).await?;
    if !dry_run {
        transaction.execute(format!("SET LOCAL ROLE {}", database.owner()).as_str()).await?;
        deadletters::create(&mut transaction, database).await?;
    }
    if !known && !dry_run {
        let tables = include_str!("tables.sql").replace("{{service}}", database.service.name());
        transaction.execute(tables.as_str()).await?;
    }
    transaction.commit().await?;
    connection.close().await?;
    Ok(!known)
}
