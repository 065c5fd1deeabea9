//! Creates the tables of webhooks.

use eventstore::admin::{Mode, begin_as_owner, connect_to, is_no_such_database};
use eventstore::{Database, LockKey};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, Executor};

const TABLES: &str = include_str!("tables.sql");

/// Creates the tables that are missing. Run [`eventstore::admin::migrate`] first, which creates the roles. Safe to run again and
/// concurrently. Returns true if there were no tables, or those of an earlier program. A dry run changes nothing, and the database need
/// not exist.
///
/// `admin` connects to any database of the cluster and may act as the service's owner.
pub async fn migrate(admin: &PgConnectOptions, database: &Database, mode: Mode) -> Result<bool, sqlx::Error> {
    let mut connection = match connect_to(admin, database, "inopsio webhooks").await {
        Err(error) if mode == Mode::DryRun && is_no_such_database(&error) => return Ok(true),
        connected => connected?,
    };
    // The newest table.
    let missing: bool =
        sqlx::query_scalar("SELECT to_regclass('webhooks.notices') IS NULL").fetch_one(&mut connection).await?;
    if mode == Mode::Apply {
        let mut transaction = begin_as_owner(&mut connection, database, LockKey::MigratingWebhooks).await?;
        deadletters::create(&mut transaction, database).await?;
        transaction.execute(TABLES.replace("{{service}}", database.service.name()).as_str()).await?;
        transaction.commit().await?;
    }
    connection.close().await?;
    Ok(missing)
}
