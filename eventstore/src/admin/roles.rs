//! The roles of a service: an owner that cannot log in, and one for each way of using the database.

use sqlx::postgres::PgConnection;
use sqlx::{Executor, Row};

use super::Applied;
use crate::{Database, Error, Role};

/// Creates what is missing and sets the password. Refuses roles that row level security would not bind.
pub(super) async fn create(
    cluster: &mut PgConnection,
    database: &Database,
    dry_run: bool,
) -> Result<Vec<Applied>, Error> {
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
        if dry_run {
            continue;
        }
        if applied.last().is_some_and(|last| last.name == format!("role {role}")) {
            cluster.execute(format!("CREATE ROLE {role} {login} NOSUPERUSER NOCREATEDB NOCREATEROLE").as_str()).await?;
        }
        if *login == "LOGIN" {
            let password = database.password.reveal().replace('\'', "''");
            cluster.execute(format!("ALTER ROLE {role} PASSWORD '{password}'").as_str()).await?;
        }
    }
    if !dry_run {
        // An admin that is no superuser must be a member of the owner to act as it.
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
