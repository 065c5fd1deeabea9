//! Altering a table that is in use, without blocking its users for longer than a moment.
//!
//! A statement that waits for an exclusive table lock makes all later statements on the table wait behind it, even reads. So it waits only
//! for a short time, gives up, and is tried again after a pause in which the others get through.

use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor};

use crate::failure::has_code;

/// SQLSTATE `lock_not_available`.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// How to retry statements that need an exclusive table lock.
#[derive(Clone, Copy, Debug)]
pub struct LockRetry {
    /// The lock timeout of each attempt: how long other statements may have to wait behind it. Keep it below Postgres's `deadlock_timeout`
    /// (1 s): then in a deadlock it is always this statement that gives up, never a reader.
    pub timeout: Duration,
    /// The number of attempts.
    pub attempts: u32,
    /// The pause after each attempt.
    pub pause: Duration,
}

impl LockRetry {
    /// Executes statements in a transaction of their own, or in a savepoint if the connection is in a transaction. `what` describes them in
    /// log messages. Returns false if every attempt failed because the table was locked; then nothing was changed.
    ///
    /// # Errors
    /// Other errors of Postgres.
    pub async fn execute(
        self,
        connection: &mut PgConnection,
        what: &str,
        statements: &str,
    ) -> Result<bool, sqlx::Error> {
        let before: String =
            sqlx::query_scalar("SELECT current_setting('lock_timeout')").fetch_one(&mut *connection).await?;
        // 0 would disable the timeout.
        let timeout = format!("SET LOCAL lock_timeout = '{}ms'", self.timeout.as_millis().max(1));
        for attempt in 1..=self.attempts {
            let mut transaction = connection.begin().await?;
            transaction.execute(timeout.as_str()).await?;
            match transaction.execute(statements).await {
                Ok(_) => {
                    // A released savepoint keeps `SET LOCAL` settings, so the former timeout is restored for the caller's next statements.
                    transaction.execute(format!("SET LOCAL lock_timeout = '{before}'").as_str()).await?;
                    transaction.commit().await?;
                    return Ok(true);
                }
                Err(error) if has_code(&error, LOCK_NOT_AVAILABLE) => transaction.rollback().await?,
                Err(error) => return Err(error),
            }
            if attempt == 1 {
                tracing::info!(what, "waits for a table that somebody uses (a backup?)");
            }
            tokio::time::sleep(self.pause).await;
        }
        Ok(false)
    }
}
