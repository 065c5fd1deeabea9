//! The Postgres roles of a service: an owner that cannot log in, and one login role for each kind of access.

use sqlx::postgres::PgConnection;
use sqlx::{Executor, Row};

use super::{Applied, Mode};
use crate::{Database, Error, Role};

/// Creates missing roles and sets the password. Refuses superusers and roles that bypass row level security.
pub(super) async fn create(cluster: &mut PgConnection, database: &Database, mode: Mode) -> Result<Vec<Applied>, Error> {
    let owner = database.owner();
    let mut wanted = vec![(owner.clone(), "NOLOGIN")];
    wanted.extend(Role::ALL.map(|role| (role.name(database.service), "LOGIN")));
    let mut applied = Vec::new();
    for (role, login) in &wanted {
        let found = sqlx::query("SELECT rolsuper OR rolbypassrls AS unbound FROM pg_roles WHERE rolname = $1")
            .bind(role)
            .fetch_optional(&mut *cluster)
            .await?;
        match found {
            Some(row) if row.try_get("unbound")? => return Err(Error::RoleUnbound { role: role.clone() }),
            Some(_) => {}
            None => applied.push(Applied { name: format!("role {role}") }),
        }
        if mode == Mode::DryRun {
            continue;
        }
        if applied.last().is_some_and(|last| last.name == format!("role {role}")) {
            cluster.execute(format!("CREATE ROLE {role} {login} NOSUPERUSER NOCREATEDB NOCREATEROLE").as_str()).await?;
        }
        if *login == "LOGIN" {
            set_password(cluster, role, database.password.reveal()).await?;
        }
    }
    if mode == Mode::Apply {
        // An admin that is not a superuser must be a member of the owner role to act as it.
        let member: bool = sqlx::query_scalar("SELECT pg_has_role(current_user, $1, 'member')")
            .bind(&owner)
            .fetch_one(&mut *cluster)
            .await?;
        if !member {
            cluster.execute(format!("GRANT {owner} TO current_user").as_str()).await?;
        }
    }
    Ok(applied)
}

/// Sets a role's password, with a statement whose text does not contain it, because statements get logged (by us if they are slow, and by
/// the server). `role` must be an identifier of ours.
///
/// # Errors
/// If Postgres refuses.
pub async fn set_password(connection: &mut PgConnection, role: &str, password: &str) -> Result<(), sqlx::Error> {
    const KEEP: &str = "SELECT set_config('inopsio.password', $1, false)";
    sqlx::query(KEEP).bind(password).execute(&mut *connection).await?;
    let alter = format!(
        "DO $$ BEGIN EXECUTE format('ALTER ROLE {role} PASSWORD %L', current_setting('inopsio.password')); END $$"
    );
    let altered = sqlx::raw_sql(&alter).execute(&mut *connection).await;
    sqlx::query(KEEP).bind("").execute(&mut *connection).await?;
    altered.map(drop)
}
