//! Creating the projector's own tables and the live tables of projections.

use std::collections::HashMap;
use std::sync::Arc;

use eventstore::admin::{begin_as_owner, connect_to, is_no_such_database};
use eventstore::{Database, LockKey};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, Executor, PgConnection};

use crate::checkpoint::Checkpoint;
use crate::{Error, Projection, tables};

/// What [`migrate`] created, and which projections need a rebuild.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Migrated {
    /// Projections whose tables were created.
    pub created: Vec<&'static str>,
    /// Projections whose stored version differs from the program's. They are not updated until they are rebuilt.
    pub needs_rebuild: Vec<&'static str>,
}

/// Creates what is missing: the schema `projector`, and the tables of projections that have no checkpoint yet, in the schema named
/// after the service. Run [`eventstore::admin::migrate`] before it. It can be run repeatedly and concurrently.
///
/// `admin` connects to any database of the cluster and may act as the service's owner.
pub async fn migrate(
    admin: &PgConnectOptions,
    database: &Database,
    projections: &[Arc<dyn Projection>],
) -> Result<Migrated, Error> {
    let mut connection = connect(admin, database).await?;
    let mut transaction = begin_as_owner(&mut connection, database, LockKey::MigratingProjections).await?;
    tables::create_own(&mut transaction, database).await?;
    let schema = tables::live_schema(database);
    tables::create_schema(&mut transaction, database, &schema).await?;
    let mut migrated = Migrated::default();
    let versions = versions(&mut transaction).await?;
    for projection in projections {
        let projection = projection.as_ref();
        match versions.get(projection.name()) {
            Some(stored) if *stored == i64::from(projection.version()) => {}
            Some(_) => migrated.needs_rebuild.push(projection.name()),
            None => {
                let indexes = tables::create(&mut transaction, database, &schema, projection).await?;
                for index in indexes {
                    transaction.execute(index.as_str()).await?;
                }
                Checkpoint::create(&mut transaction, projection).await?;
                migrated.created.push(projection.name());
            }
        }
    }
    transaction.commit().await?;
    connection.close().await?;
    Ok(migrated)
}

/// Returns what [`migrate`] would do, and changes nothing. The database does not have to exist yet.
pub async fn plan(
    admin: &PgConnectOptions,
    database: &Database,
    projections: &[Arc<dyn Projection>],
) -> Result<Migrated, Error> {
    let all = || Migrated { created: projections.iter().map(|one| one.name()).collect(), ..Migrated::default() };
    let mut connection = match connect(admin, database).await {
        Ok(connection) => connection,
        Err(error) if is_no_such_database(&error) => return Ok(all()),
        Err(error) => return Err(error.into()),
    };
    let begun: bool = sqlx::query_scalar("SELECT to_regclass('projector.checkpoints') IS NOT NULL")
        .fetch_one(&mut connection)
        .await?;
    if !begun {
        return Ok(all());
    }
    let mut planned = Migrated::default();
    let versions = versions(&mut connection).await?;
    for projection in projections {
        match versions.get(projection.name()) {
            Some(stored) if *stored == i64::from(projection.version()) => {}
            Some(_) => planned.needs_rebuild.push(projection.name()),
            None => planned.created.push(projection.name()),
        }
    }
    connection.close().await?;
    Ok(planned)
}

/// The version of each projection's tables. The query uses only columns that the tables of older programs have, too.
async fn versions(connection: &mut PgConnection) -> Result<HashMap<String, i64>, Error> {
    let rows = sqlx::query_as("SELECT projection, max(version) FROM projector.checkpoints GROUP BY projection");
    Ok(rows.fetch_all(connection).await?.into_iter().collect())
}

/// Connects to the service's database as admin.
pub(crate) async fn connect(admin: &PgConnectOptions, database: &Database) -> Result<PgConnection, sqlx::Error> {
    connect_to(admin, database, "inopsio projections").await
}
