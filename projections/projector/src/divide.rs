//! Changing the number of partitions of a projection.

use eventstore::Database;
use eventstore::admin::Mode;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, Executor};

use crate::checkpoint::Checkpoint;
use crate::partition::{self, MAX_PARTITIONS};
use crate::{Error, migrate, parking};

/// How a projection's number of partitions changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Divided {
    /// How many partitions there were.
    pub from: u32,
    /// How many there are now.
    pub into: u32,
}

/// Divides a projection's tenants into `into` partitions: 1, 2, 4, … [`MAX_PARTITIONS`]. The running instances switch to the new partitions
/// a moment later, and each event is still applied once. With `dry_run` it changes nothing and only returns what it would do.
///
/// `admin` connects to any database of the cluster and may act as the service's owner.
pub async fn divide(
    admin: &PgConnectOptions,
    database: &Database,
    projection: &str,
    into: u32,
    mode: Mode,
) -> Result<Divided, Error> {
    if !partition::is_possible(into) {
        let reason = format!("it can't be divided into {into} partitions; allowed: 1, 2, 4, … {MAX_PARTITIONS}");
        return Err(Error::Unfit { projection: projection.to_owned(), reason });
    }
    let mut connection = migrate::connect(admin, database).await?;
    let mut transaction = connection.begin().await?;
    transaction.execute(format!("SET LOCAL ROLE {}", database.owner()).as_str()).await?;
    // Read as JSON, because the table of older programs has no column `partitions`.
    let query = "SELECT max(coalesce((to_jsonb(c) ->> 'partitions')::integer, 1)) FROM projector.checkpoints c WHERE projection = $1";
    let from: Option<i32> = sqlx::query_scalar(query).bind(projection).fetch_one(&mut *transaction).await?;
    let from = from.ok_or_else(|| Error::NotMigrated { projection: projection.to_owned() })?.cast_unsigned();
    if from != into && mode == Mode::Apply {
        // Waits for batches that are being written, because each has locked the row of its checkpoint.
        let old = Checkpoint::lock(&mut transaction, projection).await?;
        Checkpoint::divide(&mut transaction, projection, &old, into).await?;
        parking::recount(&mut transaction, projection).await?;
    }
    transaction.commit().await?;
    connection.close().await?;
    Ok(Divided { from, into })
}
