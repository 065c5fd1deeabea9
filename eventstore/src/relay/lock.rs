//! The lock that makes one relay the active one.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection};
use tokio::time::timeout;

use crate::{EventStore, Role};

/// The advisory lock's key, in the service's database.
const RELAY: i64 = 7_164_702_802;

/// How long the database may take to answer before the lock counts as lost.
const PATIENCE: Duration = Duration::from_secs(3);

/// A session advisory lock on a connection of its own: it is held as long as the connection lives.
pub(super) struct Lock {
    options: PgConnectOptions,
    connection: Option<PgConnection>,
}

impl Lock {
    pub(super) fn new(store: &EventStore) -> Self {
        // The server finds out by itself when our machine is gone, and gives the lock to another.
        let options = store.database().options(Role::Follow).options([
            ("tcp_keepalives_idle", "5"),
            ("tcp_keepalives_interval", "2"),
            ("tcp_keepalives_count", "3"),
        ]);
        Self { options, connection: None }
    }

    /// Tries to get the lock; whether it is ours now.
    pub(super) async fn acquire(&mut self) -> Result<bool, sqlx::Error> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => bounded(self.options.connect()).await?,
        };
        let ours =
            bounded(sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(RELAY).fetch_one(&mut connection))
                .await?;
        self.connection = Some(connection);
        Ok(ours)
    }

    /// Whether the connection, and with it the lock, is still there.
    pub(super) async fn held(&mut self) -> bool {
        let Some(connection) = &mut self.connection else { return false };
        let held = bounded(connection.ping()).await.is_ok();
        if !held {
            self.connection = None;
        }
        held
    }

    /// Gives the lock back.
    pub(super) async fn release(self) {
        if let Some(connection) = self.connection
            && let Err(error) = bounded(connection.close()).await
        {
            tracing::debug!(%error, "the relay's lock connection did not close in good order");
        }
    }
}

async fn bounded<T>(work: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    timeout(PATIENCE, work).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}
