//! Creating tables: the projector's own ones, and those of projections in the live schema or in a shadow schema.

use eventstore::{Database, Role};
use sqlx::{Executor, PgConnection};

use crate::{Error, Projection};

/// Creates the tables of checkpoints, and those of parked events that programs before 2026-12 used.
const PROJECTOR: &str = include_str!("tables.sql");

/// The next migration after [`PROJECTOR`].
const DEAD_LETTERS: &str = include_str!("dead_letters.sql");

/// The schema of a service's live tables. It is quoted, because the name may be a keyword of SQL (`user`).
pub(crate) fn live_schema(database: &Database) -> String {
    format!("\"{}\"", database.service)
}

/// The shadow schema in which a projection is built for a purpose (`rebuild` or `drift`).
pub(crate) fn shadow_schema(database: &Database, projection: &dyn Projection, purpose: &str) -> String {
    format!("{}_{purpose}_{}", database.service, projection.name())
}

/// Creates the projector's own tables, and those of dead letters, if they are missing. The connection acts as the owner.
pub(crate) async fn create_own(connection: &mut PgConnection, database: &Database) -> Result<(), Error> {
    deadletters::create(connection, database).await?;
    for step in [PROJECTOR, DEAD_LETTERS] {
        connection.execute(step.replace("{{service}}", database.service.name()).as_str()).await?;
    }
    Ok(())
}

/// Creates a schema for projections' tables, and lets the roles that read and write them use it.
pub(crate) async fn create_schema(
    connection: &mut PgConnection,
    database: &Database,
    schema: &str,
) -> Result<(), Error> {
    let (read, project) = (Role::Read.name(database.service), Role::Project.name(database.service));
    connection
        .execute(
            format!("CREATE SCHEMA IF NOT EXISTS {schema}; GRANT USAGE ON SCHEMA {schema} TO {read}, {project}")
                .as_str(),
        )
        .await?;
    Ok(())
}

/// Creates a projection's tables in a schema, with row level security and grants. Returns the statements that create its plain indexes;
/// the caller runs them at once or, which is faster, after the tables are filled.
pub(crate) async fn create(
    connection: &mut PgConnection,
    database: &Database,
    schema: &str,
    projection: &dyn Projection,
) -> Result<Vec<String>, Error> {
    fit(projection)?;
    let (indexes, tables): (Vec<_>, Vec<_>) =
        statements(projection.ddl()).partition(|statement| is_plain_index(statement));
    let path = format!("SET LOCAL search_path = {schema}");
    connection.execute(path.as_str()).await?;
    for statement in tables {
        connection.execute(statement).await?;
    }
    for table in projection.tables() {
        connection.execute(protect(database, schema, table).as_str()).await?;
    }
    Ok(indexes.into_iter().map(|index| format!("{path}; {index}")).collect())
}

/// The statements that give a table row level security and grants. No query sees another tenant's rows, not even as the owner. The settings
/// are sub-selects, so they are read once per statement; without a setting there are no rows. A writing transaction has many tenants: `IS
/// TRUE` keeps the planner from using that condition in index scans, which would search for every tenant at each row that is looked up.
fn protect(database: &Database, schema: &str, table: &str) -> String {
    let (read, project) = (Role::Read.name(database.service), Role::Project.name(database.service));
    let owner = database.owner();
    format!(
        "ALTER TABLE {schema}.{table} ENABLE ROW LEVEL SECURITY;
         ALTER TABLE {schema}.{table} FORCE ROW LEVEL SECURITY;
         CREATE POLICY project ON {schema}.{table} TO {project}, {owner} USING ((tenant_id = ANY (
             (SELECT nullif(current_setting('app.tenant_ids', true), '')::uuid[])::uuid[])) IS TRUE);
         CREATE POLICY read ON {schema}.{table} FOR SELECT TO {read} USING (tenant_id =
             (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid));
         GRANT SELECT ON {schema}.{table} TO {read};
         GRANT SELECT, INSERT, UPDATE, DELETE ON {schema}.{table} TO {project}"
    )
}

/// Refuses names that would have to be quoted, because they are put into SQL unquoted.
fn fit(projection: &dyn Projection) -> Result<(), Error> {
    let word = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    let names = projection.tables().iter().chain([&projection.name()]).copied().collect::<Vec<_>>();
    match names.into_iter().find(|name| !word(name)) {
        None => Ok(()),
        Some(name) => Err(Error::Unfit {
            projection: projection.name().to_owned(),
            reason: format!("the name {name:?} is not made of lower-case letters, digits and _"),
        }),
    }
}

/// Splits DDL into its statements: each ends with `;` at the end of a line.
fn statements(ddl: &str) -> impl Iterator<Item = &str> {
    ddl.split(";\n").map(|part| part.trim().trim_end_matches(';')).filter(|part| !part.is_empty())
}

/// Whether a statement creates an index that upserts do not need. Unique indexes are needed for `ON CONFLICT`.
fn is_plain_index(statement: &str) -> bool {
    let code = statement.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with("--"));
    code.is_some_and(|line| line.to_ascii_uppercase().starts_with("CREATE INDEX"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_indexes_can_wait() {
        let ddl = "CREATE TABLE a (\n  x int -- ; here\n);\n\n-- why\nCREATE INDEX b ON a (x);\nCREATE UNIQUE INDEX c ON a (x);\n";
        let found: Vec<_> = statements(ddl).map(is_plain_index).collect();
        assert_eq!(found, [false, true, false]);
    }
}
