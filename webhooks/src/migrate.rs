//! Making the tables.

use eventstore::admin::{begin_as_owner, connect_to, is_no_such_database};
use eventstore::{Database, LockKey};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, Executor};

const TABLES: &str = include_str!("tables.sql");

/// Makes what is missing. Run [`eventstore::admin::migrate`] before it, which makes the roles. Safe to run again and at the
/// same time. True: there were no tables yet, or those of an earlier program; with `dry_run` nothing is changed, and the database need not exist.
///
/// `admin` connects to any database of the cluster and may act as the service's owner.
pub async fn migrate(admin: &PgConnectOptions, database: &Database, dry_run: bool) -> Result<bool, sqlx::Error> {
    let mut connection = match connect_to(admin, database, "inopsio webhooks").await {
        Err(error) if dry_run && is_no_such_database(&error) => return Ok(true),
        connected => connected?,
    };
    // The table that came last.
    let missing: bool =
        sqlx::query_scalar("SELECT to_regclass('webhooks.notices') IS NULL").fetch_one(&mut connection).await?;
    if !dry_run {
        let mut transaction = begin_as_owner(&mut connection, database, LockKey::MigratingWebhooks).await?;
        deadletters::create(&mut transaction, database).await?;
        transaction.execute(TABLES.replace("{{service}}", database.service.name()).as_str()).await?;
        transaction.commit().await?;
    }
    connection.close().await?;
    Ok(missing)
}
