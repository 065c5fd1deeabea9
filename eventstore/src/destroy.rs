//! The end of a tenant in a service: what it had is destroyed, and what its history was is told.

use std::time::Duration;

use futures::TryStreamExt;
use kernel::{LeafHash, TenantId, Tree};
use sqlx::{ConnectOptions, Connection, PgConnection};
use tokio::time::Instant;

use crate::backup::snapshot::hash;
use crate::{Database, Error, Role};

/// How long is waited for those that write: transactions of ours are short, and a tenant's end is tried again.
const PATIENCE: Duration = Duration::from_secs(30);

/// A tenant's history in a log, as far as it can be proven: what was signed of it, or exported, can be held against this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct History {
    /// How many events it has.
    pub events: u64,
    /// Root of the tree over their leaf hashes (RFC 6962), in the order of their positions.
    pub root: LeafHash,
}

/// What a tenant's history comes to.
///
/// # Errors
/// When the log can't be read.
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

/// Closes a tenant for good and destroys what the service has of it but the bytes of its history: keys, claims, answers, snapshots, read
/// models, jobs, webhooks, dead letters, sagas. That it is at its end is noted first, so that nobody writes any more of it beside the log,
/// and who does at that moment is waited for. Then the bulk of it goes, while others write; then, in one transaction for which they
/// wait a moment, the rest, and the tenant is closed. Cut off in between it is to be done again; done again it changes nothing.
///
/// `read_models`: the names of those that the program has. Others of which there is a checkpoint count only if somebody applies them.
///
/// # Errors
/// When the database does not answer, a read model has not taken in all of the tenant's history yet (it would write it down again), or
/// somebody writes to the database for longer than half a minute.
pub async fn destroy(database: &Database, tenant: TenantId, read_models: &[&str]) -> Result<(), Error> {
    let mut connection = database.options(Role::Append).disable_statement_logging().connect().await?;
    sqlx::query("SELECT log.condemn($1, $2)").bind(tenant.uuid()).bind(read_models).execute(&mut connection).await?;
    writers_ended(&mut connection).await?;
    // Each in one statement: were the end of a transaction ours to send, others would wait for us meanwhile.
    for act in ["SELECT log.empty($1, $2)", "SELECT log.destroy($1, $2)"] {
        sqlx::query(act).bind(tenant.uuid()).bind(read_models).execute(&mut connection).await?;
    }
    connection.close().await?;
    Ok(())
}

/// Waits until all transactions are over that write to this database now. Those of them that looked for what is noted of a tenant before it
/// was noted have written by then, and whoever looks after that sees it.
///
/// # Errors
/// When the database does not answer, or one of them takes too long.
pub(crate) async fn writers_ended(connection: &mut PgConnection) -> Result<(), Error> {
    let mut before = writers(connection).await?;
    let until = Instant::now() + PATIENCE;
    let mut pause = Duration::from_millis(5);
    while !before.is_empty() {
        if Instant::now() >= until {
            let what = format!("somebody has been writing to it for more than {} s", PATIENCE.as_secs());
            return Err(Error::Unavailable(what));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(200));
        let now = writers(connection).await?;
        before.retain(|one| now.contains(one));
    }
    Ok(())
}

async fn writers(connection: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar("SELECT log.writers()").fetch_one(connection).await
}
