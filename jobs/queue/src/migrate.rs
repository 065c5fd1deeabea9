//! Making the tables.

use eventstore::{Database, LockKey};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, Executor};

const TABLES: &str = include_str!("tables.sql");

/// Makes what is missing. Run [`eventstore::admin::migrate`] before it, which makes the roles. Safe to run again and at the
/// same time. True: there were no tables yet; with `dry_run` nothing is changed, and the database need not exist.
///
/// `admin` connects to any database of the cluster and may act as the service's owner.
pub async fn migrate(admin: &PgConnectOptions, database: &Database, dry_run: bool) -> Result<bool, sqlx::Error> {
    let options = admin.clone().database(&database.name).application_name("inopsio jobs").disable_statement_logging();
    let mut connection = match options.connect().await {
        Err(sqlx::Error::Database(error)) if dry_run && error.code().as_deref() == Some("3D000") => return Ok(true),
        connected => connected?,
    };
    let missing: bool =
        sqlx::query_scalar("SELECT to_regclass('jobs.jobs') IS NULL").fetch_one(&mut connection).await?;
    if !dry_run {
        // "… already exists, skipping" is what this is for, not news.
        connection.execute("SET client_min_messages = warning").await?;
        let mut transaction = connection.begin().await?;
        sqlx::query("SELECT pg_advisory_xact_lock($1)")
            .bind(LockKey::MigratingJobs.number())
            .execute(&mut *transaction)
            .await?;
        transaction.execute(format!("SET LOCAL ROLE {}", database.owner()).as_str()).await?;
        transaction.execute(TABLES.replace("{{service}}", database.service.name()).as_str()).await?;
        transaction.commit().await?;
    }
    connection.close().await?;
    Ok(missing)
}
