//! Making the tables.

use eventstore::Database;
use sqlx::{Executor, PgConnection};

/// Held while tables are made, so that several instances may start at once.
const MIGRATING: i64 = 7_164_702_840;

/// Forward only, each may be run again, in this order.
const STEPS: [&str; 3] = [include_str!("tables.sql"), include_str!("stream.sql"), include_str!("webhooks.sql")];

/// Makes what is missing, in a transaction in which the connection acts as the service's owner. Each consumer's own migration begins
/// with it. Safe to run again and at the same time.
pub async fn create(connection: &mut PgConnection, database: &Database) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(MIGRATING).execute(&mut *connection).await?;
    for step in STEPS {
        connection.execute(step.replace("{{service}}", database.service.name()).as_str()).await?;
    }
    Ok(())
}
