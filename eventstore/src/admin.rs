//! Creates and migrates a service's database: its roles, the database itself, and the log's schema.
//!
//! Every step is idempotent. Only one migration runs at a time in a Postgres cluster (an advisory lock in the database to which the admin
//! connects), so every instance of a service may call [`migrate`] when it starts.

mod migrations;
mod preparation;
mod roles;
mod tables;

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection, Executor};

pub use self::preparation::{
    ADVICE, is_never_migrated, is_no_such_database, is_not_migrated, is_unprepared, is_without_connection, probe,
};
pub use self::roles::set_password;
pub use self::tables::{begin_as_owner, connect_to};
use crate::failure::has_code;
use crate::{Database, Error, LockKey};

/// One step that was applied, or that a dry run would apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The step: `role …`, `database …`, or the file name of a migration.
    pub name: String,
}

/// Whether a migration changes anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It applies what is missing.
    Apply,
    /// It only tells what it would apply.
    DryRun,
}

/// Creates missing roles and the database, sets the roles' password, and applies the missing migrations. Returns the applied steps; a dry
/// run changes nothing and returns the steps that would be applied.
///
/// `admin` is a superuser, or a role that may create roles and databases.
///
/// # Errors
/// [`Error::MigrationChanged`] and [`Error::MigrationUnknown`] if the database's migrations are not those of this program.
pub async fn migrate(admin: &PgConnectOptions, database: &Database, mode: Mode) -> Result<Vec<Applied>, Error> {
    let mut cluster = connect(admin).await?;
    sqlx::query("SELECT pg_advisory_lock($1)").bind(LockKey::Migrating.number()).execute(&mut cluster).await?;
    let mut applied = roles::create(&mut cluster, database, mode).await?;
    let exists: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
        .bind(&database.name)
        .fetch_one(&mut cluster)
        .await?;
    if !exists {
        applied.push(Applied { name: format!("database {}", database.name) });
    }
    if mode == Mode::DryRun && !exists {
        applied.extend(migrations::names().map(|name| Applied { name: name.to_owned() }));
        return Ok(applied);
    }
    if !exists {
        create_database(&mut cluster, database).await?;
    }
    let mut inside = connect(&admin.clone().database(&database.name)).await?;
    applied.extend(migrations::apply(&mut inside, database, mode).await?);
    inside.close().await?;
    // Closing the connection releases the lock.
    cluster.close().await?;
    Ok(applied)
}

/// Connects as admin, within 10 s and without logging statements.
pub(crate) async fn connect(options: &PgConnectOptions) -> Result<PgConnection, Error> {
    let options = options.clone().application_name("inopsio migrate").disable_statement_logging();
    match tokio::time::timeout(Duration::from_secs(10), options.connect()).await {
        Ok(connected) => Ok(connected?),
        Err(_) => Err(Error::Unavailable("connecting took longer than 10 s".to_owned())),
    }
}

/// A name as a quoted SQL identifier.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

async fn create_database(cluster: &mut PgConnection, database: &Database) -> Result<(), Error> {
    let (name, owner) = (quoted(&database.name), quoted(&database.owner()));
    // Collation C (byte order) sorts keys and cursors the same on every machine. The character type is UTF-8, where the system has such a
    // locale.
    let create = |ctype: &str| {
        format!(
            "CREATE DATABASE {name} OWNER {owner} TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE '{ctype}'"
        )
    };
    let created = cluster.execute(create("C.UTF-8").as_str()).await;
    if let Err(error) = created {
        // wrong_object_type: no such locale.
        if !has_code(&error, "42809") {
            return Err(error.into());
        }
        cluster.execute(create("en_US.UTF-8").as_str()).await?;
    }
    cluster.execute(format!("REVOKE ALL ON DATABASE {name} FROM PUBLIC").as_str()).await?;
    for role in crate::Role::ALL {
        let role = role.name(database.service);
        cluster.execute(format!("GRANT CONNECT ON DATABASE {name} TO {role}").as_str()).await?;
    }
    Ok(())
}
