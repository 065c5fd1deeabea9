//! Change capture in the old cell while a tenant's history is copied: triggers for this tenant record its changed claims and commands. So
//! each round reads only the changes since the last one.

use std::collections::BTreeSet;
use std::time::Duration;

use kernel::TenantId;
use sqlx::Row;
use sqlx::postgres::PgConnection;

use crate::{Error, LockRetry};

/// All tenants write to the tables on which triggers are created and dropped: their appends may wait only this long for it.
const LOCKS: LockRetry =
    LockRetry { timeout: Duration::from_millis(50), attempts: 50, pause: Duration::from_millis(100) };

/// Changed claims and commands.
#[derive(Debug, Default)]
pub(super) struct Touched {
    /// Claims, by kind and key.
    pub(super) claims: BTreeSet<(String, Vec<u8>)>,
    /// Commands, by id.
    pub(super) commands: BTreeSet<String>,
}

impl Touched {
    pub(super) fn is_empty(&self) -> bool {
        self.claims.is_empty() && self.commands.is_empty()
    }
}

/// A tenant's triggers: name, table, operation, and the row variable.
fn triggers(tenant: TenantId) -> [(String, &'static str, &'static str, &'static str); 3] {
    let name = |what: &str| format!("moving_{}_{what}", tenant.uuid().simple());
    [
        (name("claims"), "log.claims", "INSERT OR UPDATE", "NEW"),
        (name("released"), "log.claims", "DELETE", "OLD"),
        (name("commands"), "log.commands", "INSERT", "NEW"),
    ]
}

/// Starts recording changes. Changes that were recorded earlier are discarded: the caller reads everything once after this.
pub(super) async fn start_capture(connection: &mut PgConnection, tenant: TenantId) -> Result<(), Error> {
    for (name, table, when, row) in triggers(tenant) {
        let function = if table == "log.commands" { "log.touch_command" } else { "log.touch_claim" };
        let make = format!(
            "CREATE OR REPLACE TRIGGER {name} AFTER {when} ON {table} FOR EACH ROW WHEN ({row}.tenant_id = '{tenant}') \
             EXECUTE FUNCTION {function}()"
        );
        if !is_there(connection, &name).await? {
            alter(connection, &make).await?;
        }
    }
    sqlx::query("DELETE FROM log.touched WHERE tenant_id = $1").bind(tenant.uuid()).execute(connection).await?;
    Ok(())
}

/// Returns and clears the recorded changes.
pub(super) async fn drain(connection: &mut PgConnection, tenant: TenantId) -> Result<Touched, Error> {
    let rows = sqlx::query("DELETE FROM log.touched WHERE tenant_id = $1 RETURNING kind, key, command_id")
        .bind(tenant.uuid())
        .fetch_all(connection)
        .await?;
    let mut touched = Touched::default();
    for row in &rows {
        match row.try_get::<Option<String>, _>(2)? {
            Some(command) => _ = touched.commands.insert(command),
            None => _ = touched.claims.insert((row.try_get(0)?, row.try_get(1)?)),
        }
    }
    Ok(touched)
}

/// Stops recording changes.
pub(super) async fn stop_capture(connection: &mut PgConnection, tenant: TenantId) -> Result<(), Error> {
    for (name, table, ..) in triggers(tenant) {
        if is_there(connection, &name).await? {
            alter(connection, &format!("DROP TRIGGER IF EXISTS {name} ON {table}")).await?;
        }
    }
    sqlx::query("DELETE FROM log.touched WHERE tenant_id = $1").bind(tenant.uuid()).execute(connection).await?;
    Ok(())
}

async fn is_there(connection: &mut PgConnection, name: &str) -> Result<bool, Error> {
    let asked = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_trigger WHERE tgname = $1)").bind(name);
    Ok(asked.fetch_one(connection).await?)
}

/// Alters a table to which all tenants write, without blocking them for longer than a moment.
async fn alter(connection: &mut PgConnection, statement: &str) -> Result<(), Error> {
    if LOCKS.execute(connection, "what notes changes of a tenant that moves", statement).await? {
        return Ok(());
    }
    Err(Error::Unavailable(format!("nobody let go of the table for a moment: {statement}")))
}
