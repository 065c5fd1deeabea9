//! Blocks a program at a defined point of a transaction.

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Executor, PgConnection};

use crate::eventually;

/// The key of the advisory lock that blocks it. No program takes this lock.
const KEY: i64 = 4_242;

/// Blocks transactions before they change a row of a table, until they are released. Only one at a time per database.
pub struct Hold {
    table: String,
    holder: PgConnection,
    options: PgConnectOptions,
}

impl Hold {
    /// Blocks transactions that do `moment` (`INSERT`, `UPDATE`, `DELETE`) with rows of a table for which `condition` on `NEW` and `OLD` is
    /// true. `superuser` are the superuser's connection options for the service's database.
    pub async fn on(superuser: &PgConnectOptions, moment: &str, table: &str, condition: &str) -> Self {
        let options = superuser.clone().disable_statement_logging();
        let mut holder = options.connect().await.unwrap();
        sqlx::query("SELECT pg_advisory_lock($1)").bind(KEY).execute(&mut holder).await.unwrap();
        let trigger = format!(
            "CREATE SCHEMA IF NOT EXISTS held;
             CREATE OR REPLACE FUNCTION held.wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 PERFORM pg_advisory_xact_lock_shared({KEY});
                 RETURN coalesce(NEW, OLD);
             END $$;
             CREATE TRIGGER held BEFORE {moment} ON {table} FOR EACH ROW WHEN ({condition})
                 EXECUTE FUNCTION held.wait();"
        );
        holder.execute(trigger.as_str()).await.unwrap();
        Self { table: table.to_owned(), holder, options }
    }

    /// Waits until a transaction is blocked.
    pub async fn reached(&self) {
        let mut looking = self.options.connect().await.unwrap();
        let looking = tokio::sync::Mutex::new(&mut looking);
        eventually(&format!("somebody is held at {}", self.table), async || {
            let held = "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = $1 AND NOT granted
                        AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))";
            let held: bool = sqlx::query_scalar(held).bind(KEY).fetch_one(&mut **looking.lock().await).await.unwrap();
            held.then_some(())
        })
        .await;
    }

    /// Releases all blocked transactions, and blocks no more.
    pub async fn let_go(&mut self) {
        sqlx::query("SELECT pg_advisory_unlock($1)").bind(KEY).execute(&mut self.holder).await.unwrap();
    }

    /// Releases all blocked transactions, and removes the trigger.
    pub async fn end(mut self) {
        self.let_go().await;
        self.holder.execute(format!("DROP TRIGGER held ON {}", self.table).as_str()).await.unwrap();
    }
}
