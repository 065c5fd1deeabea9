//! The log's migrations: forward only, each in its own transaction, recorded in `log.migrations` with its checksum.

use std::time::Duration;

use sha2::{Digest, Sha256};
use sqlx::postgres::PgConnection;
use sqlx::{Executor, Row};

use super::{Applied, Mode, quoted};
use crate::{Database, Error, LockRetry};

/// A migration that waits for a table lock gives up after 200 ms and tries again later, so that appends and reads get through in between.
/// (Vacuum and backups hold table locks for a while.)
const LOCKS: LockRetry =
    LockRetry { timeout: Duration::from_millis(200), attempts: 300, pause: Duration::from_millis(800) };

/// The migrations in the order in which they are applied. Released files are never edited.
const MIGRATIONS: &[(&str, &str)] = &[
    ("0001_log.sql", include_str!("../../migrations/0001_log.sql")),
    ("0002_append.sql", include_str!("../../migrations/0002_append.sql")),
    ("0003_backup.sql", include_str!("../../migrations/0003_backup.sql")),
    ("0004_append.sql", include_str!("../../migrations/0004_append.sql")),
    ("0005_snapshots.sql", include_str!("../../migrations/0005_snapshots.sql")),
    ("0006_keys.sql", include_str!("../../migrations/0006_keys.sql")),
    ("0007_copied.sql", include_str!("../../migrations/0007_copied.sql")),
    ("0008_append.sql", include_str!("../../migrations/0008_append.sql")),
    ("0009_closed.sql", include_str!("../../migrations/0009_closed.sql")),
    ("0010_plans.sql", include_str!("../../migrations/0010_plans.sql")),
    ("0011_deleted.sql", include_str!("../../migrations/0011_deleted.sql")),
    ("0012_touched.sql", include_str!("../../migrations/0012_touched.sql")),
    ("0013_copies.sql", include_str!("../../migrations/0013_copies.sql")),
    ("0014_settled.sql", include_str!("../../migrations/0014_settled.sql")),
    ("0015_seals.sql", include_str!("../../migrations/0015_seals.sql")),
    ("0016_beside.sql", include_str!("../../migrations/0016_beside.sql")),
    ("0017_gone.sql", include_str!("../../migrations/0017_gone.sql")),
    ("0018_seals_in_backups.sql", include_str!("../../migrations/0018_seals_in_backups.sql")),
    ("0019_closed_now.sql", include_str!("../../migrations/0019_closed_now.sql")),
    ("0020_append.sql", include_str!("../../migrations/0020_append.sql")),
    ("0021_claim_key.sql", include_str!("../../migrations/0021_claim_key.sql")),
    ("0022_master_keys.sql", include_str!("../../migrations/0022_master_keys.sql")),
];

/// The migrations' file names.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    MIGRATIONS.iter().map(|(name, _)| *name)
}

/// Applies the migrations that the database lacks.
pub(super) async fn apply(
    connection: &mut PgConnection,
    database: &Database,
    mode: Mode,
) -> Result<Vec<Applied>, Error> {
    let owner = quoted(&database.owner());
    let known: bool =
        sqlx::query_scalar("SELECT to_regclass('log.migrations') IS NOT NULL").fetch_one(&mut *connection).await?;
    let done = if known {
        sqlx::query("SELECT name, checksum FROM log.migrations ORDER BY name")
            .fetch_all(&mut *connection)
            .await?
            .iter()
            .map(|row| Ok((row.try_get::<String, _>("name")?, row.try_get::<Vec<u8>, _>("checksum")?)))
            .collect::<Result<Vec<_>, sqlx::Error>>()?
    } else {
        Vec::new()
    };
    if let Some((name, _)) = done.iter().find(|(done, _)| names().all(|name| name != done)) {
        return Err(Error::MigrationUnknown { name: name.clone() });
    }
    if !known && mode == Mode::Apply {
        connection
            .execute(
                format!(
                    "SET ROLE {owner};
                     CREATE SCHEMA IF NOT EXISTS log;
                     CREATE TABLE log.migrations (
                         name       text PRIMARY KEY,
                         checksum   bytea NOT NULL,
                         applied_at timestamptz NOT NULL DEFAULT now()
                     );
                     RESET ROLE"
                )
                .as_str(),
            )
            .await?;
    }
    let mut applied = Vec::new();
    for (name, text) in MIGRATIONS {
        let checksum = Sha256::digest(text.as_bytes()).to_vec();
        match done.iter().find(|(done, _)| done == name) {
            Some((_, recorded)) if *recorded == checksum => continue,
            Some(_) => return Err(Error::MigrationChanged { name: (*name).to_owned() }),
            None => {}
        }
        if mode == Mode::Apply {
            let text = text.replace("{{service}}", database.service.name());
            apply_one(connection, &owner, (*name, &text), &checksum).await?;
        }
        applied.push(Applied { name: (*name).to_owned() });
    }
    Ok(applied)
}

/// Applies one migration; retries while another transaction holds a table that it has to change.
async fn apply_one(
    connection: &mut PgConnection,
    owner: &str,
    (name, text): (&str, &str),
    checksum: &[u8],
) -> Result<(), Error> {
    let checksum = hex::encode(checksum);
    // Sent as one text, so that each attempt is one transaction.
    let statements = format!(
        "SET LOCAL ROLE {owner};\n{text}\n;\n\
         INSERT INTO log.migrations (name, checksum) VALUES ('{name}', decode('{checksum}', 'hex'))"
    );
    if LOCKS.execute(connection, &format!("the migration {name}"), &statements).await? {
        return Ok(());
    }
    let busy = format!(
        "the migration {name} found no moment at which nobody held the tables that it changes (does a backup run?)"
    );
    Err(Error::Unavailable(busy))
}
