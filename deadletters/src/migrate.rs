//! Making the tables.

use eventstore::{Database, LockKey};
use sqlx::{Executor, PgConnection};

/// Forward only, each may be run again, in this order.
const STEPS: [&str; 6] = [
    include_str!("tables.sql"),
    include_str!("stream.sql"),
    include_str!("webhooks.sql"),
    include_str!("backup.sql"),
    include_str!("sealed.sql"),
    include_str!("guard.sql"),
];

/// Makes what is missing, in a transaction in which the connection acts as the service's owner. Each consumer's own migration begins
/// with it. Safe to run again and at the same time.
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
