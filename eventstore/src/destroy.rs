//! Deletion of a tenant in a service: destroys its data, and computes the proof of its history.

use std::time::Duration;

use futures::TryStreamExt;
use kernel::{Backoff, LeafHash, TenantId, Tree};
use sqlx::{ConnectOptions, Connection, PgConnection};
use tokio::time::Instant;

use crate::backup::snapshot::hash;
use crate::{Database, Error, Role};

/// How long to wait for running write transactions: ours are short, and the deletion of a tenant is retried.
const PATIENCE: Duration = Duration::from_secs(30);

/// The pauses between looks whether they have ended.
const BACKOFF: Backoff = Backoff { first: Duration::from_millis(5), longest: Duration::from_millis(200) };

/// A summary of a tenant's history that can be compared with seals that were issued and with exported events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct History {
    /// How many events it has.
    pub events: u64,
    /// Root of the tree over their leaf hashes (RFC 6962), in the order of their positions.
    pub root: LeafHash,
}

/// Computes the summary of a tenant's history.
///
/// # Errors
/// If the log can't be read.
pub async fn history(database: &Database, tenant: TenantId) -> Result<History, Error> {
    let mut connection = database.options(Role::Follow).disable_statement_logging().connect().await?;
    let mut tree = Tree::new();
    {
        let mut leaves = sqlx::query("SELECT leaf_hash FROM log.events WHERE tenant_id = $1 ORDER BY position")
            .bind(tenant.uuid())
            .fetch(&mut connection);
        while let Some(row) = leaves.try_next().await? {
            tree.push(hash(&row, 0)?);
        }
    }
    connection.close().await?;
    Ok(History { events: tree.size(), root: tree.root() })
}

/// Closes a tenant permanently and destroys all its data in the service except the stored bytes of its events: keys, claims, answers,
/// snapshots, read models, jobs, webhooks, dead letters, sagas.
///
/// First the tenant is marked as deleted, so that no new rows of it are written next to the log, and running writers are awaited. Then the
/// bulk of its data is deleted while other tenants' appends continue. Last, in one transaction for which others wait a moment, the rest is
/// deleted and the tenant is closed. After an interruption it has to be repeated; a repetition after success changes nothing.
///
/// `read_models` are the names of the read models that this program has. Other read models with a checkpoint count only if an instance
/// applies them.
///
/// # Errors
/// If the database does not answer, a read model has not applied all of the tenant's events yet (it would write the data again), or another
/// transaction writes to the database for longer than half a minute.
pub async fn destroy(database: &Database, tenant: TenantId, read_models: &[&str]) -> Result<(), Error> {
    let mut connection = database.options(Role::Append).disable_statement_logging().connect().await?;
    sqlx::query("SELECT log.condemn($1, $2)").bind(tenant.uuid()).bind(read_models).execute(&mut connection).await?;
    wait_for_writers(&mut connection).await?;
    // Each is one statement in autocommit: if we had to send the COMMIT, other writers would wait for that round trip.
    for act in ["SELECT log.empty($1, $2)", "SELECT log.destroy($1, $2)"] {
        sqlx::query(act).bind(tenant.uuid()).bind(read_models).execute(&mut connection).await?;
    }
    connection.close().await?;
    Ok(())
}

/// Waits until all transactions that write to this database now have ended. Those that read a tenant's marks before the last change of them
/// have written by then, and are visible to whoever reads afterwards.
///
/// # Errors
/// If the database does not answer, or one of the transactions takes too long.
pub(crate) async fn wait_for_writers(connection: &mut PgConnection) -> Result<(), Error> {
    let mut before = writers(connection).await?;
    let until = Instant::now() + PATIENCE;
    let mut pause = BACKOFF.first;
    while !before.is_empty() {
        if Instant::now() >= until {
            let what = format!("somebody has been writing to it for more than {} s", PATIENCE.as_secs());
            return Err(Error::Unavailable(what));
        }
        tokio::time::sleep(pause).await;
        pause = BACKOFF.after(pause);
        let now = writers(connection).await?;
        before.retain(|one| now.contains(one));
    }
    Ok(())
}

async fn writers(connection: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar("SELECT log.writers()").fetch_one(connection).await
}
