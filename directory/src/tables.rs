//! The directory's database: its role and its tables, and who may do what with them.

use std::str::FromStr;

use config::Config;
use eventstore::LockKey;
use eventstore::admin::set_password;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection};

use crate::tenants::{DirectoryError, ROLE};

/// Makes the directory's database, role and table where they are missing. Safe to run again. True: there was no table yet.
pub async fn migrate(config: &Config, dry_run: bool) -> Result<bool, DirectoryError> {
    // Another cell's, which makes it.
    if !config.directory.url.is_empty() {
        return Ok(false);
    }
    // The password of the role stands in a statement.
    let admin = admin_options(config)?.disable_statement_logging();
    let name = &config.postgres.directory;
    if !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_') || name.is_empty() {
        return Err(DirectoryError::Admin(format!(
            "postgres.directory is {name:?}; allowed are lower-case letters, digits and _"
        )));
    }
    let mut server = admin.connect().await?;
    let exists: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
        .bind(name)
        .fetch_one(&mut server)
        .await?;
    if dry_run && !exists {
        server.close().await?;
        return Ok(true);
    }
    // Two programs that start together make the role and the database once.
    sqlx::query("SELECT pg_advisory_lock($1)").bind(LockKey::MigratingDirectory.number()).execute(&mut server).await?;
    if !dry_run {
        let role_exists: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)")
            .bind(ROLE)
            .fetch_one(&mut server)
            .await?;
        let verb = if role_exists { "ALTER" } else { "CREATE" };
        let role = format!("{verb} ROLE {ROLE} LOGIN NOBYPASSRLS NOSUPERUSER");
        sqlx::raw_sql(&role).execute(&mut server).await?;
        set_password(&mut server, ROLE, config.postgres.password.reveal()).await?;
        let exists: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
            .bind(name)
            .fetch_one(&mut server)
            .await?;
        if !exists {
            sqlx::raw_sql(&format!("CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE template0"))
                .execute(&mut server)
                .await?;
        }
    }
    let mut database = admin.clone().database(name).connect().await?;
    let missing: bool =
        sqlx::query_scalar("SELECT to_regclass('public.tenants') IS NULL").fetch_one(&mut database).await?;
    if !dry_run {
        sqlx::raw_sql(&format!(
            "CREATE TABLE IF NOT EXISTS tenants (
                 tenant_id  uuid PRIMARY KEY,
                 slug       text NOT NULL UNIQUE,
                 name       text NOT NULL,
                 created_at timestamptz NOT NULL
             );
             ALTER TABLE tenants ADD COLUMN IF NOT EXISTS status text NOT NULL DEFAULT 'active';
             ALTER TABLE tenants DROP CONSTRAINT IF EXISTS tenants_status_check;
             ALTER TABLE tenants ADD CONSTRAINT tenants_status_check
                 CHECK (status IN ('reserved', 'active', 'suspended', 'deleting'));
             -- In which cell it lives; null: there was only one.
             ALTER TABLE tenants ADD COLUMN IF NOT EXISTS cell text;
             -- What happened to tenants' places, in order; `cell`: where it lives from then on, if that changed.
             CREATE TABLE IF NOT EXISTS placements (
                 position    bigint PRIMARY KEY,
                 tenant_id   uuid NOT NULL,
                 sequence    bigint NOT NULL,
                 event       jsonb NOT NULL,
                 cell        text,
                 recorded_at timestamptz NOT NULL,
                 UNIQUE (tenant_id, sequence)
             );
             GRANT SELECT, INSERT ON placements TO {ROLE};
             -- Domains that tenants have shown to be their own; claim_id: what the record of the claim says. One tenant each in all of the
             -- installation.
             CREATE TABLE IF NOT EXISTS domains (
                 domain      text PRIMARY KEY,
                 tenant_id   uuid NOT NULL,
                 claim_id    uuid NOT NULL,
                 verified_at timestamptz NOT NULL
             );
             GRANT SELECT, INSERT, UPDATE, DELETE ON domains TO {ROLE};
             GRANT UPDATE (cell) ON tenants TO {ROLE};
             REVOKE ALL ON DATABASE {name} FROM PUBLIC;
             GRANT CONNECT ON DATABASE {name} TO {ROLE};
             GRANT SELECT, INSERT, DELETE, UPDATE (status) ON tenants TO {ROLE};"
        ))
        .execute(&mut database)
        .await?;
    }
    database.close().await?;
    server.close().await?;
    Ok(missing)
}

/// How to connect as the administrator of this configuration.
pub fn admin_options(config: &Config) -> Result<PgConnectOptions, DirectoryError> {
    let url = config.postgres.admin_url.reveal();
    if url.is_empty() {
        return Err(DirectoryError::Admin("it is not set".to_owned()));
    }
    PgConnectOptions::from_str(url).map_err(|error| DirectoryError::Admin(error.to_string()))
}
