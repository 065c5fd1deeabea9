//! Replacing the live tables by the rebuilt ones.

use std::time::Duration;

use eventstore::{Database, EventStore, LockRetry};
use sqlx::{Connection, Executor, PgConnection};

use crate::build::Build;
use crate::checkpoint::Checkpoint;
use crate::{Error, parking, tables};

/// How long to try to lock the tables before the rebuild is given up.
const LOCKS: LockRetry =
    LockRetry { timeout: Duration::from_millis(200), attempts: 40, pause: Duration::from_millis(50) };

/// In one transaction: stops the live projection by locking its checkpoints, applies the rest of the log, drops the old tables, moves the
/// new ones into the live schema, and writes the new checkpoints. Readers see either the old tables or the new ones.
pub(crate) async fn swap(
    connection: &mut PgConnection,
    database: &Database,
    store: &EventStore,
    build: &mut Build<'_>,
) -> Result<(), Error> {
    let name = build.projection.name();
    let mut transaction = connection.begin().await?;
    let old = Checkpoint::lock(&mut transaction, name).await?;
    let old = old.into_iter().next().ok_or_else(|| Error::NotMigrated { projection: name.to_owned() })?;
    build.catch_up(&mut transaction, store).await?;
    let live = tables::live_schema(database);
    // Locked before the tables. Otherwise all readers would wait too while an operator's decision about a dead letter is being written.
    deadletters::hold(&mut transaction, &parking::consumer(name)).await?;
    lock(&mut transaction, &live, &old.tables, name).await?;
    for table in &old.tables {
        transaction.execute(format!("DROP TABLE {live}.{table}").as_str()).await?;
    }
    for table in build.projection.tables() {
        transaction.execute(format!("ALTER TABLE {}.{table} SET SCHEMA {live}", build.schema).as_str()).await?;
    }
    Checkpoint::replace(&mut transaction, build.projection, build.position).await?;
    build.store_parked(&mut transaction).await?;
    // The dead letters are locked since above, so no decision can come later than this check.
    if build.decisions_changed(&mut transaction).await? {
        return Err(Error::Decided { projection: name.to_owned() });
    }
    transaction.commit().await?;
    Ok(())
}

/// Locks the old tables exclusively, all in one statement, with retries between their readers: those that use
/// [`ReadModels`](crate::ReadModels) (they lock `projector.swaps`), and others.
async fn lock(transaction: &mut PgConnection, schema: &str, names: &[String], projection: &str) -> Result<(), Error> {
    let tables = names.iter().map(|name| format!("{schema}.{name}"));
    let tables = std::iter::once("projector.swaps".to_owned()).chain(tables).collect::<Vec<_>>().join(", ");
    let lock = format!("LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE");
    if LOCKS.execute(transaction, &format!("the rebuild of {projection}"), &lock).await? {
        return Ok(());
    }
    Err(Error::Busy { projection: projection.to_owned() })
}
