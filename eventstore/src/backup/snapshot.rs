//! One moment of the logs of all services.

use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use kernel::{Position, Service, TenantId};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{ConnectOptions, Connection, Executor, Row};
use uuid::Uuid;

use super::graft::keep_from_writing;
use super::{Head, SealReader, StoredAnswer, StoredClaim, StoredEvent};
use crate::bounded::Entry;
use crate::read::columns;
use crate::seals::Seal;
use crate::{Database, Error, Role};

const EVENTS: &str =
    concat!("SELECT ", columns!(), ", leaf_hash FROM log.events WHERE position <= $1 ORDER BY position");
const COMMANDS: &str = "SELECT tenant_id, command_id, request_hash, answer, first_position, last_position, recorded_at
     FROM log.commands ORDER BY tenant_id, command_id";
const CLAIMS: &str = "SELECT tenant_id, kind, key, holder FROM log.claims ORDER BY tenant_id, kind, key";

const COPIES: &str =
    "SELECT tenant_id, position FROM log.copied WHERE NOT moved AND tenant_id <> $1 ORDER BY tenant_id";

/// A log as it was at the moment of [`freeze`], in a transaction that only reads. Vacuum keeps what it may still want to
/// see until it is dropped.
pub struct Snapshot {
    database: Database,
    head: Head,
    connection: PgConnection,
}

/// An event, and the seal of its tenant's events up to it, if there is one.
pub type SealedEvent = (StoredEvent, Option<Seal>);

/// Fixes one moment over several logs: whatever is in one of them, all that it was an answer to is in the others.
///
/// For that all of them are kept from writing while the snapshots are taken, which is a few round trips; appends wait that
/// long and no longer: where one log can't be had for some seconds, the others are let go and it fails.
pub async fn freeze(databases: &[Database]) -> Result<Vec<Snapshot>, Error> {
    let mut locks = Vec::with_capacity(databases.len());
    let mut readers = Vec::with_capacity(databases.len());
    // Connected before anything waits for us.
    for database in databases {
        locks.push(connect(database).await?);
        readers.push(connect(database).await?);
    }
    // In the order of the services, as everybody who takes several of them.
    for lock in &mut locks {
        lock.execute("BEGIN").await?;
        keep_from_writing(lock).await?;
    }
    let mut snapshots = Vec::with_capacity(databases.len());
    for (database, mut connection) in databases.iter().zip(readers) {
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        let head = head(&mut connection).await?;
        snapshots.push(Snapshot { database: database.clone(), head, connection });
    }
    for mut lock in locks {
        lock.execute("COMMIT").await?;
        lock.close().await?;
    }
    Ok(snapshots)
}

async fn connect(database: &Database) -> Result<PgConnection, Error> {
    // Along the indexes: without statistics Postgres would collect and sort the whole log first.
    let options = database.options(Role::Backup).options([("enable_bitmapscan", "off"), ("enable_sort", "off")]);
    Ok(options.disable_statement_logging().connect().await?)
}

/// Where the log ends, in the transaction's eyes.
pub(crate) async fn head(connection: &mut PgConnection) -> Result<Head, Error> {
    let row = sqlx::query("SELECT position, CASE WHEN isfinite(recorded_at) THEN recorded_at END FROM log.head")
        .fetch_one(connection)
        .await?;
    Ok(Head { position: Position::from_i64(row.try_get(0)?), recorded_at: row.try_get(1)? })
}

impl Snapshot {
    /// Whose log it is.
    pub fn service(&self) -> Service {
        self.database.service
    }

    /// Where it ends.
    pub fn head(&self) -> Head {
        self.head
    }

    /// The transaction, for who keeps something beside the log that belongs to the same moment.
    pub fn connection(&mut self) -> &mut PgConnection {
        &mut self.connection
    }

    /// How many commands it has, and how many claims.
    pub async fn counts(&mut self) -> Result<(u64, u64), Error> {
        let row = sqlx::query("SELECT (SELECT count(*) FROM log.commands), (SELECT count(*) FROM log.claims)")
            .fetch_one(&mut self.connection)
            .await?;
        Ok((row.try_get::<i64, _>(0)?.cast_unsigned(), row.try_get::<i64, _>(1)?.cast_unsigned()))
    }

    /// Whose history is a copy of another tenant's, and up to where; by tenant.
    pub async fn copies(&mut self) -> Result<Vec<(TenantId, Position)>, Error> {
        // Few are, and a backup reads everything: no index.
        let rows = sqlx::query(COPIES).bind(Uuid::nil()).fetch_all(&mut self.connection).await?;
        rows.iter().map(|row| Ok((tenant(row)?, Position::from_i64(row.try_get(1)?)))).collect()
    }

    /// All events, by position. Rows come as they are taken: the log is never in memory.
    pub fn events(&mut self) -> BoxStream<'_, Result<StoredEvent, Error>> {
        let rows = sqlx::query(EVENTS).bind(self.head.position.as_i64()).fetch(&mut self.connection);
        rows.map(|row| StoredEvent::read(&row?)).boxed()
    }

    /// The log's seals, for [`sealed_events`](Self::sealed_events): as they were at this moment.
    pub async fn seals(&mut self) -> Result<SealReader, Error> {
        // Events keep this connection busy: another one takes over what it sees.
        let moment: String = sqlx::query_scalar("SELECT pg_export_snapshot()").fetch_one(&mut self.connection).await?;
        let mut connection = connect(&self.database).await?;
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        connection.execute(format!("SET TRANSACTION SNAPSHOT '{moment}'").as_str()).await?;
        SealReader::begin(self.database.service, connection).await
    }

    /// All events, by position, each with the seal of its tenant's events up to it, if there is one; no seals: none are looked for.
    ///
    /// # Errors
    /// At the end, [`Error::CutOff`] when more of a tenant's history was sealed than there is.
    pub fn sealed_events(&mut self, seals: Option<SealReader>) -> BoxStream<'_, Result<SealedEvent, Error>> {
        stream::try_unfold((self.events(), seals), next_sealed).boxed()
    }

    /// All commands with their answers, by tenant and id.
    pub fn commands(&mut self) -> BoxStream<'_, Result<StoredAnswer, Error>> {
        sqlx::query(COMMANDS).fetch(&mut self.connection).map(|row| command(&row?)).boxed()
    }

    /// All claims, by tenant, kind and key.
    pub fn claims(&mut self) -> BoxStream<'_, Result<StoredClaim, Error>> {
        sqlx::query(CLAIMS).fetch(&mut self.connection).map(|row| claim(&row?)).boxed()
    }
}

/// What is read of a log with its seals, from somewhere on.
type Reading<'a> = (BoxStream<'a, Result<StoredEvent, Error>>, Option<SealReader>);

async fn next_sealed((mut events, mut seals): Reading<'_>) -> Result<Option<(SealedEvent, Reading<'_>)>, Error> {
    let Some(event) = events.try_next().await? else {
        if let Some(seals) = seals {
            seals.finish().await?;
        }
        return Ok(None);
    };
    let seal = match &mut seals {
        Some(seals) => seals.after(event.event.tenant).await?,
        None => None,
    };
    Ok(Some(((event, seal), (events, seals))))
}

pub(crate) fn command(row: &PgRow) -> Result<StoredAnswer, Error> {
    Ok(StoredAnswer {
        tenant: tenant(row)?,
        command_id: row.try_get(1)?,
        request_hash: hash(row, 2)?,
        answer: row.try_get(3)?,
        first: Position::from_i64(row.try_get(4)?),
        last: Position::from_i64(row.try_get(5)?),
        recorded_at: row.try_get(6)?,
    })
}

pub(crate) fn claim(row: &PgRow) -> Result<StoredClaim, Error> {
    Ok(StoredClaim { tenant: tenant(row)?, kind: row.try_get(1)?, key: hash(row, 2)?, holder: row.try_get(3)? })
}

#[expect(
    clippy::disallowed_methods,
    reason = "the tenant is read from the log, where only authenticated callers wrote"
)]
pub(super) fn tenant(row: &PgRow) -> Result<TenantId, Error> {
    Ok(TenantId::vouched(row.try_get(0)?))
}

pub(crate) fn hash(row: &PgRow, column: usize) -> Result<[u8; 32], Error> {
    let bytes: &[u8] = row.try_get(column)?;
    bytes.try_into().map_err(|_| Error::Corrupt(format!("a hash of {} bytes", bytes.len())))
}
