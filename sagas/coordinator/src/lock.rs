//! The lock that makes one coordinator of a service the active one.

use std::time::Duration;

use eventstore::{Database, LockKey, Role, lock_options};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection};
use tokio::time::timeout;

/// How long the database may take to answer before the lock counts as lost.
const PATIENCE: Duration = Duration::from_secs(3);

/// A session advisory lock on a connection of its own: it is held as long as the connection lives.
pub(crate) struct Lock {
    options: PgConnectOptions,
    connection: Option<PgConnection>,
}

impl Lock {
    pub(crate) fn new(database: &Database) -> Self {
        let options = lock_options(database, Role::Project).disable_statement_logging();
        Self { options, connection: None }
    }

    /// Tries to get the lock; whether it is ours now.
    pub(crate) async fn acquire(&mut self) -> Result<bool, sqlx::Error> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => bounded(self.options.connect()).await?,
        };
        let query = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(LockKey::Coordinator.number());
        let ours = bounded(query.fetch_one(&mut connection)).await?;
        self.connection = Some(connection);
        Ok(ours)
    }

    /// Returns when the connection, and with it the lock, is lost; asked so often.
    pub(crate) async fn lost(&mut self, every: Duration) {
        while let Some(connection) = &mut self.connection {
            if bounded(connection.ping()).await.is_err() {
                self.connection = None;
                return;
            }
            tokio::time::sleep(every).await;
        }
    }

    /// Gives the lock back.
    pub(crate) async fn release(&mut self) {
        if let Some(connection) = self.connection.take()
            && let Err(error) = bounded(connection.close()).await
        {
            tracing::debug!(%error, "the coordinator's lock connection did not close in good order");
        }
    }
}

async fn bounded<T>(work: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    timeout(PATIENCE, work).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}
