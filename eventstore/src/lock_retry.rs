//! Changing a table that others use, without letting them wait for longer than a moment.
//!
//! Whoever comes after a statement that waits for a table waits behind it, be it only to read. So the statement waits for a moment, steps
//! back when somebody held the table for longer, and is tried again after a pause in which the others come through.

use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor};

use crate::failure::has_code;

/// SQLSTATE `lock_not_available`.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// How statements that need a table for themselves are tried.
#[derive(Clone, Copy, Debug)]
pub struct LockRetry {
    /// How long others may have to wait behind them each time. While it is shorter than Postgres's `deadlock_timeout` (1 s) it is always
    /// they that step back, never a reader.
    pub timeout: Duration,
    /// How often they are tried.
    pub attempts: u32,
    /// The pause after each time, in which others come through.
    pub pause: Duration,
}

impl LockRetry {
    /// Carries statements out, in a transaction of their own, or in a savepoint of that in which the connection is; `what` they are, for the
    /// log. False: each time somebody held a table for too long, and nothing was done.
    ///
    /// # Errors
    /// What else Postgres says against them.
    pub async fn execute(
        self,
        connection: &mut PgConnection,
        what: &str,
        statements: &str,
    ) -> Result<bool, sqlx::Error> {
        let before: String =
            sqlx::query_scalar("SELECT current_setting('lock_timeout')").fetch_one(&mut *connection).await?;
        // 0 would be for ever.
        let timeout = format!("SET LOCAL lock_timeout = '{}ms'", self.timeout.as_millis().max(1));
        for attempt in 1..=self.attempts {
            let mut transaction = connection.begin().await?;
            transaction.execute(timeout.as_str()).await?;
            match transaction.execute(statements).await {
                Ok(_) => {
                    // A savepoint that is released leaves it: what the caller does next waits as it did before.
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
