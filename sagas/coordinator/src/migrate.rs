//! Creates the coordinator's tables.

use eventstore::admin::{Mode, begin_as_owner, connect_to, is_no_such_database};
use eventstore::{Database, LockKey};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, Executor};

use crate::{Error, skipped};

/// Creates the tables that are missing, and returns whether any were. A dry run changes nothing, and the database need not exist yet. Run
/// [`eventstore::admin::migrate`] first. Safe to run again and concurrently.
///
/// `admin` connects to any database of the cluster and may act as the service's owner.
pub async fn migrate(admin: &PgConnectOptions, database: &Database, mode: Mode) -> Result<bool, Error> {
    let mut connection = match connect_to(admin, database, "inopsio sagas").await {
        Err(error) if mode == Mode::DryRun && is_no_such_database(&error) => return Ok(true),
        connected => connected?,
    };
    let known = if mode == Mode::DryRun {
        skipped::is_migrated(&mut connection).await?
    } else {
        let mut transaction = begin_as_owner(&mut connection, database, LockKey::MigratingSagas).await?;
        let known = skipped::is_migrated(&mut *transaction).await?;
        deadletters::create(&mut transaction, database).await?;
        if !known {
            let tables = include_str!("tables.sql").replace("{{service}}", database.service.name());
            transaction.execute(tables.as_str()).await?;
        }
        transaction.execute(include_str!("guard.sql")).await?;
        transaction.commit().await?;
        known
    };
    connection.close().await?;
    Ok(!known)
}
