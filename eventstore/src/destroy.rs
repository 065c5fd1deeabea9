//! The end of a tenant in a service: what it had is destroyed, and what its history was is told.

use futures::TryStreamExt;
use kernel::{LeafHash, TenantId, Tree};
use sqlx::{ConnectOptions, Connection};

use crate::backup::snapshot::hash;
use crate::{Database, Error, LockClass, Role};

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
/// models, jobs, webhooks, dead letters, sagas. The bulk of it goes first, while others write; then, in one transaction for which they
/// wait a moment, the rest, and the tenant is closed. Cut off in between it is to be done again; done again it changes nothing.
///
/// `read_models`: the names of those that the program has. Others of which there is a checkpoint count only if somebody applies them.
///
/// # Errors
/// When the database does not answer, or a read model has not taken in all of the tenant's history yet: it would write it down again.
pub async fn destroy(database: &Database, tenant: TenantId, read_models: &[&str]) -> Result<(), Error> {
    let mut connection = database.options(Role::Append).disable_statement_logging().connect().await?;
    sqlx::query("SELECT log.empty($1, $2)").bind(tenant.uuid()).bind(read_models).execute(&mut connection).await?;
    // What is being written down of its sagas is committed first, and destroyed with the rest; what comes later sees that it is closed. In
    // one statement: were the end of a transaction ours to send, others would wait for us meanwhile.
    sqlx::query(
        "WITH alone AS MATERIALIZED (SELECT pg_advisory_xact_lock($1, hashtext($2::uuid::text)))
         SELECT log.destroy($2, $3) FROM alone",
    )
    .bind(LockClass::SagasOfTenant.number())
    .bind(tenant.uuid())
    .bind(read_models)
    .execute(&mut connection)
    .await?;
    connection.close().await?;
    Ok(())
}
