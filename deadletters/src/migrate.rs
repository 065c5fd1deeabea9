//! Creates the tables of dead letters.

use eventstore::{Database, LockKey};
use sqlx::{Executor, PgConnection};

/// The migrations, in this order. They are forward only, and each may be run again.
const STEPS: [&str; 6] = [
    include_str!("tables.sql"),
    include_str!("stream.sql"),
    include_str!("webhooks.sql"),
    include_str!("backup.sql"),
    include_str!("sealed.sql"),
    include_str!("guard.sql"),
];

/// Creates what is missing, in a transaction in which the connection acts as the service's owner. The migrations of all kinds of consumers
/// call it first. Safe to run again and concurrently.
pub async fn create(connection: &mut PgConnection, database: &Database) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(LockKey::MigratingDeadLetters.number())
        .execute(&mut *connection)
        .await?;
    for step in STEPS {
        connection.execute(step.replace("{{service}}", database.service.name()).as_str()).await?;
    }
    Ok(())
}
