//! Making and migrating a service's database.

use sqlx::postgres::PgConnectOptions;

use crate::{Database, Error};

/// One step that was applied, or would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// What it is: a role, a database, or a migration's file name.
    pub name: String,
}

/// Creates roles and database when they are missing and applies the migrations that were not applied yet.
pub async fn migrate(admin: &PgConnectOptions, database: &Database, dry_run: bool) -> Result<Vec<Applied>, Error> {
    let _ = (admin, database, dry_run);
    Err(Error::Unavailable("not there yet".to_owned()))
}
