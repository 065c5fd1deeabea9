//! [`Snapshot`]: a consistent view of the logs of all services at one moment.

use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use kernel::{Position, Service, TenantId};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{ConnectOptions, Connection, Executor, Row};
use uuid::Uuid;

use super::graft::block_writers;
use super::{Head, SealReader, StoredAnswer, StoredClaim, StoredEvent};
use crate::bounded::Entry;
use crate::read::columns;
use crate::seals::Seal;
use crate::{Database, Error, Role, Sealing, claim_key, master_key};

const EVENTS: &str =
    concat!("SELECT ", columns!(), ", leaf_hash FROM log.events WHERE position <= $1 ORDER BY position");
const COMMANDS: &str = "SELECT tenant_id, command_id, request_hash, answer, first_position, last_position, recorded_at
     FROM log.commands ORDER BY tenant_id, command_id";
const CLAIMS: &str = "SELECT tenant_id, kind, key, holder FROM log.claims ORDER BY tenant_id, kind, key";

const COPIES: &str =
    "SELECT tenant_id, position FROM log.copied WHERE NOT moved AND tenant_id <> $1 ORDER BY tenant_id";

/// A log at the moment of [`freeze`], in a read-only transaction. Vacuum keeps the rows that it can see until it is dropped.
pub struct Snapshot {
    database: Database,
    head: Head,
    connection: PgConnection,
}

/// An event, and the seal that ends with it, if there is one.
pub type SealedEvent = (StoredEvent, Option<Seal>);

/// Takes a consistent snapshot of several logs: if an event in one of them was caused by an event of another, the snapshot never has the
/// effect without the cause.
///
/// For this, writers of all logs are blocked while the snapshots are taken, which takes a few round trips; appends wait for that time only.
/// If one log can't be locked within a few seconds, all locks are released and an error is returned.
pub async fn freeze(databases: &[Database]) -> Result<Vec<Snapshot>, Error> {
    let mut locks = Vec::with_capacity(databases.len());
    let mut readers = Vec::with_capacity(databases.len());
    // All connections are opened before the first lock is taken.
    for database in databases {
        locks.push(connect(database).await?);
        readers.push(connect(database).await?);
    }
    // In the order of the services: every process that locks several logs uses this order, so that there are no deadlocks.
    for lock in &mut locks {
        lock.execute("BEGIN").await?;
        block_writers(lock).await?;
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
    // Forces index scans: without statistics Postgres would collect and sort the whole log first.
    let options = database.options(Role::Backup).options([("enable_bitmapscan", "off"), ("enable_sort", "off")]);
    Ok(options.disable_statement_logging().connect().await?)
}

/// The end of the log as this transaction sees it.
pub(crate) async fn head(connection: &mut PgConnection) -> Result<Head, Error> {
    let row = sqlx::query("SELECT position, CASE WHEN isfinite(recorded_at) THEN recorded_at END FROM log.head")
        .fetch_one(connection)
        .await?;
    Ok(Head { position: Position::from_i64(row.try_get(0)?), recorded_at: row.try_get(1)? })
}

impl Snapshot {
    /// The service whose log it is.
    pub fn service(&self) -> Service {
        self.database.service
    }

    /// The end of the log.
    pub fn head(&self) -> Head {
        self.head
    }

    /// The transaction, for crates that back up tables of their own from the same snapshot.
    pub fn connection(&mut self) -> &mut PgConnection {
        &mut self.connection
    }

    /// The numbers of commands and of claims.
    pub async fn counts(&mut self) -> Result<(u64, u64), Error> {
        let row = sqlx::query("SELECT (SELECT count(*) FROM log.commands), (SELECT count(*) FROM log.claims)")
            .fetch_one(&mut self.connection)
            .await?;
        Ok((row.try_get::<i64, _>(0)?.cast_unsigned(), row.try_get::<i64, _>(1)?.cast_unsigned()))
    }

    /// The [mark](crate::claim_key_mark) of the key under which the claims are hashed; `None` if nobody has
    /// appended since the log keeps it.
    pub async fn claim_key_mark(&mut self) -> Result<Option<String>, Error> {
        Ok(claim_key::of(&mut self.connection).await?)
    }

    /// Checks that the master key that is about to wrap the backup's own key is one of those that wrapped the tenants' keys, if there are any.
    ///
    /// # Errors
    /// [`Error::MasterKey`].
    pub async fn check_master_key(&mut self, sealing: &Sealing) -> Result<(), Error> {
        master_key::check(&master_key::one_of_each(&mut self.connection).await?, &*sealing.master)
    }

    /// The tenants whose histories are copies of another tenant's, and up to which position; ordered by tenant.
    pub async fn copies(&mut self) -> Result<Vec<(TenantId, Position)>, Error> {
        // There are few of them, and a backup reads everything: no index.
        let rows = sqlx::query(COPIES).bind(Uuid::nil()).fetch_all(&mut self.connection).await?;
        rows.iter().map(|row| Ok((tenant(row)?, Position::from_i64(row.try_get(1)?)))).collect()
    }

    /// All events, ordered by position, as a stream: the log is never in memory as a whole.
    pub fn events(&mut self) -> BoxStream<'_, Result<StoredEvent, Error>> {
        let rows = sqlx::query(EVENTS).bind(self.head.position.as_i64()).fetch(&mut self.connection);
        rows.map(|row| StoredEvent::read(&row?)).boxed()
    }

    /// The log's seals in the same snapshot, for [`sealed_events`](Self::sealed_events).
    pub async fn seals(&mut self) -> Result<SealReader, Error> {
        // The stream of events occupies this connection, so a second one imports its snapshot.
        let moment: String = sqlx::query_scalar("SELECT pg_export_snapshot()").fetch_one(&mut self.connection).await?;
        let mut connection = connect(&self.database).await?;
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        connection.execute(format!("SET TRANSACTION SNAPSHOT '{moment}'").as_str()).await?;
        SealReader::begin(self.database.service, connection).await
    }

    /// All events, ordered by position, each with the seal that ends with it, if there is one. `None`: without seals.
    ///
    /// # Errors
    /// At the end, [`Error::CutOff`] if a seal covers more events than there are.
    pub fn sealed_events(&mut self, seals: Option<SealReader>) -> BoxStream<'_, Result<SealedEvent, Error>> {
        stream::try_unfold((self.events(), seals), next_sealed).boxed()
    }

    /// All commands with their answers, ordered by tenant and id.
    pub fn commands(&mut self) -> BoxStream<'_, Result<StoredAnswer, Error>> {
        sqlx::query(COMMANDS).fetch(&mut self.connection).map(|row| command(&row?)).boxed()
    }

    /// All claims, ordered by tenant, kind and key.
    pub fn claims(&mut self) -> BoxStream<'_, Result<StoredClaim, Error>> {
        sqlx::query(CLAIMS).fetch(&mut self.connection).map(|row| claim(&row?)).boxed()
    }
}

/// The state of the stream of [`Snapshot::sealed_events`].
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
