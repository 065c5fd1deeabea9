//! Leader election by advisory lock: one instance of a relay, sealer, saga coordinator, … is the active one.

mod keys;

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection};
use tokio::time::timeout;

use crate::{Database, Role};
pub use keys::{LockClass, LockKey};

/// How long the database may take to answer before the lock is considered lost.
const TIMEOUT: Duration = Duration::from_secs(3);

/// How often a connection that holds a lock is used: the server closes idle ones, which releases the lock.
const PING_INTERVAL: Duration = Duration::from_secs(1);

/// The connection options for a session that holds a lock. If our machine is gone or our process hangs (the connection is unused for 4
/// seconds), the server closes the session, and another instance gets the lock.
pub fn lock_options(database: &Database, role: Role) -> PgConnectOptions {
    database.options(role).options([
        ("tcp_keepalives_idle", "5"),
        ("tcp_keepalives_interval", "2"),
        ("tcp_keepalives_count", "3"),
        ("idle_session_timeout", "4s"),
        ("idle_in_transaction_session_timeout", "4s"),
    ])
}

/// A session advisory lock on a connection of its own. It is held for as long as the connection lives.
pub struct Lock {
    options: PgConnectOptions,
    key: LockKey,
    connection: Option<PgConnection>,
    /// Whether the lock was acquired on this connection.
    acquired: bool,
}

impl Lock {
    /// The lock with this key in a service's database. It is not acquired yet. Connects as `role`.
    pub fn new(database: &Database, role: Role, key: LockKey) -> Self {
        let options = lock_options(database, role).disable_statement_logging();
        Self { options, key, connection: None, acquired: false }
    }

    /// Tries to acquire the lock. Returns whether this instance holds it now.
    pub async fn acquire(&mut self) -> Result<bool, sqlx::Error> {
        if self.held().await {
            return Ok(true);
        }
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => with_timeout(self.options.connect()).await?,
        };
        let acquired = with_timeout(
            sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(self.key.number()).fetch_one(&mut connection),
        )
        .await?;
        self.connection = Some(connection);
        self.acquired = acquired;
        Ok(acquired)
    }

    /// Whether the lock was acquired and its connection still works.
    pub async fn held(&mut self) -> bool {
        if !self.acquired {
            return false;
        }
        self.acquired = match &mut self.connection {
            Some(connection) => with_timeout(connection.ping()).await.is_ok(),
            None => false,
        };
        if !self.acquired {
            self.connection = None;
        }
        self.acquired
    }

    /// Returns when the connection, and with it the lock, is lost.
    pub async fn lost(&mut self) {
        while self.held().await {
            tokio::time::sleep(PING_INTERVAL).await;
        }
    }

    /// Releases the lock, if it is held.
    pub async fn release(&mut self) {
        self.acquired = false;
        if let Some(connection) = self.connection.take()
            && let Err(error) = with_timeout(connection.close()).await
        {
            tracing::debug!(%error, "a lock's connection did not close in good order");
        }
    }
}

async fn with_timeout<T>(work: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    timeout(TIMEOUT, work).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}
