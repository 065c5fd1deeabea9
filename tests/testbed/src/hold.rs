//! Holding a program of ours at a certain moment of a transaction, from outside.

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Executor, PgConnection};

use crate::eventually;

/// The key of the lock that they wait for; none of our programs takes it.
const KEY: i64 = 4_242;

/// Holds whoever changes a row of a table, before it is changed, until it is let go. For one at a time in a database.
pub struct Hold {
    table: String,
    holder: PgConnection,
    options: PgConnectOptions,
}

impl Hold {
    /// Holds at `moment` (`INSERT`, `UPDATE`, `DELETE`) of a table those whose rows are as `condition` says of `NEW` and `OLD`. `superuser`
    /// connects to the service's database and may do everything.
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

    /// Returns when somebody is held.
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

    /// Lets all go on, and holds nobody any more.
    pub async fn let_go(&mut self) {
        sqlx::query("SELECT pg_advisory_unlock($1)").bind(KEY).execute(&mut self.holder).await.unwrap();
    }

    /// Lets all go on, and takes away what held them.
    pub async fn end(mut self) {
        self.let_go().await;
        self.holder.execute(format!("DROP TRIGGER held ON {}", self.table).as_str()).await.unwrap();
    }
}
