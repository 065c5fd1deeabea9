//! Creating the directory's database, its role, its tables and their grants.

use std::str::FromStr;

use config::Config;
use eventstore::LockKey;
use eventstore::admin::{Mode, set_password};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection};

use crate::error::DirectoryError;
use crate::tenants::ROLE;

const TABLES: &str = include_str!("tables.sql");

/// Creates the directory's database, role and tables if they are missing. It can be run repeatedly. Returns whether the tables were
/// missing.
pub async fn migrate(config: &Config, mode: Mode) -> Result<bool, DirectoryError> {
    // The directory belongs to another cell, which migrates it.
    if !config.directory.url.is_empty() {
        return Ok(false);
    }
    // A statement contains the password of the role, so statements must not be logged.
    let admin = admin_options(config)?.disable_statement_logging();
    let name = &config.postgres.directory;
    if !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_') || name.is_empty() {
        return Err(DirectoryError::DatabaseName(name.clone()));
    }
    let mut server = admin.connect().await?;
    if mode == Mode::DryRun && !exists(&mut server, name).await? {
        server.close().await?;
        return Ok(true);
    }
    // The lock serializes programs that start at the same time.
    sqlx::query("SELECT pg_advisory_lock($1)").bind(LockKey::MigratingDirectory.number()).execute(&mut server).await?;
    if mode == Mode::Apply {
        make_role(&mut server, config.postgres.password.reveal()).await?;
        if !exists(&mut server, name).await? {
            sqlx::raw_sql(&format!("CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE template0"))
                .execute(&mut server)
                .await?;
        }
    }
    let mut database = admin.clone().database(name).connect().await?;
    let missing: bool =
        sqlx::query_scalar("SELECT to_regclass('public.tenants') IS NULL").fetch_one(&mut database).await?;
    if mode == Mode::Apply {
        let tables = TABLES.replace("{{role}}", ROLE).replace("{{database}}", name);
        sqlx::raw_sql(&tables).execute(&mut database).await?;
    }
    database.close().await?;
    server.close().await?;
    Ok(missing)
}

async fn exists(server: &mut PgConnection, database: &str) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
        .bind(database)
        .fetch_one(server)
        .await
}

/// Creates the role of the directory, or updates its attributes and password.
async fn make_role(server: &mut PgConnection, password: &str) -> Result<(), sqlx::Error> {
    let exists: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)")
        .bind(ROLE)
        .fetch_one(&mut *server)
        .await?;
    let verb = if exists { "ALTER" } else { "CREATE" };
    let role = format!("{verb} ROLE {ROLE} LOGIN NOBYPASSRLS NOSUPERUSER");
    sqlx::raw_sql(&role).execute(&mut *server).await?;
    set_password(server, ROLE, password).await
}

/// The connection options of the administrator (`postgres.admin_url`).
pub fn admin_options(config: &Config) -> Result<PgConnectOptions, DirectoryError> {
    let url = config.postgres.admin_url.reveal();
    if url.is_empty() {
        return Err(DirectoryError::Admin("is not set".to_owned()));
    }
    PgConnectOptions::from_str(url).map_err(|error| DirectoryError::Admin(format!("is no such URL ({error})")))
}
