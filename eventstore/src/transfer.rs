//! One tenant's history out of one cell's log and into another's, as it is: ids, times, bytes and leaf hashes stay, positions are new.
//!
//! A [`Transfer`] is between the two databases of a service. It copies in [rounds](Transfer::round) while the tenant writes: claims,
//! events, and commands with their answers. What is there already, from a round before or
//! from a move that broke off, is compared and not copied again. Then the tenant is [paused](Transfer::pause) in the old cell, a last
//! round brings the rest, and [`compare`](Transfer::compare) holds the two histories against each other. [`open`](Transfer::open) takes
//! what stands [beside](Opening::table) the log along and lets the tenant write in the new cell, in one transaction.
//!
//! Both sides are used as a superuser, whom row level security does not bind: it reads and writes for one tenant in every statement.

mod side;
mod table;

use std::time::Duration;

use futures::TryStreamExt;
use kernel::{LeafHash, Position, Service, TenantId};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection, Row};

use self::side::Side;
pub use self::table::Opening;
use crate::backup::copied::Whose;
use crate::backup::graft::{extend, lock};
use crate::backup::snapshot::{claim, command, head};
use crate::backup::{StoredAnswer, StoredClaim, StoredEvent, write};
use crate::{Closure, Error};

/// Events of one transaction in the new cell, in which others' appends wait.
const CHUNK: i64 = 1_000;

/// As far as the log goes.
const ALL: Position = Position(i64::MAX.cast_unsigned());

/// Commands or claims of one statement.
const ROWS: usize = 5_000;

/// A history that can't be moved.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// A database can't be read or written.
    #[error(transparent)]
    Log(#[from] Error),
    /// Whoever connects is bound by row level security.
    #[error(
        "the role {0} is no superuser and does not bypass row level security: it can't see all that is to be moved"
    )]
    Role(String),
    /// The database was not migrated by this program.
    #[error("the database of {0} was not prepared for moves; run inopsio migrate in its cell")]
    NotMigrated(Service),
    /// The two cells have different histories.
    #[error("{service}: the new cell has another history of the tenant: {what}; nothing was changed")]
    Differs {
        /// Whose log.
        service: Service,
        /// What is different.
        what: String,
    },
    /// The pause came to its end before the move did.
    #[error("the pause of {0} ended before the rest was copied; the tenant writes again where it was")]
    PauseOver(Service),
}

impl From<sqlx::Error> for TransferError {
    fn from(error: sqlx::Error) -> Self {
        Self::Log(error.into())
    }
}

type Result<T> = std::result::Result<T, TransferError>;

/// What of a tenant stands in a log, as far as it was compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compared {
    /// Events.
    pub events: u64,
    /// Streams.
    pub streams: usize,
    /// Root of the tenant's tree (RFC 6962): the same on both sides.
    pub root: LeafHash,
    /// Where the last of them stands in the new cell.
    pub last: Position,
}

/// A tenant's move between the two databases of a service.
pub struct Transfer {
    service: Service,
    tenant: TenantId,
    from: Side,
    to: Side,
    /// Commands up to here were copied.
    commands: Position,
}

impl Transfer {
    /// Connects to both sides, as superusers, and compares what the new cell has already.
    ///
    /// # Errors
    /// When a side can't be used, or [`TransferError::Differs`].
    pub async fn begin(
        service: Service,
        tenant: TenantId,
        from: &PgConnectOptions,
        to: &PgConnectOptions,
    ) -> Result<Self> {
        let (from, to) = (Side::connect(service, from).await?, Side::connect(service, to).await?);
        let mut transfer = Self { service, tenant, from, to, commands: Position::START };
        loop {
            let there = transfer.to.read(tenant, ALL, CHUNK).await?;
            let Some(count) = i64::try_from(there.len()).ok().filter(|count| *count > 0) else { break };
            let here = transfer.from.read(tenant, ALL, count).await?;
            if here.iter().map(|row| row.leaf_hash).ne(there.iter().map(|row| row.leaf_hash)) {
                let what = format!("of {} events it has, not all are the tenant's", transfer.to.count());
                return Err(TransferError::Differs { service, what });
            }
        }
        Ok(transfer)
    }

    /// Whose log it is.
    pub fn service(&self) -> Service {
        self.service
    }

    /// The new cell lets nobody in until the tenant is whole there. (Where it lived before, it is closed already.)
    pub async fn expect(&mut self, cell: &str) -> Result<()> {
        close(&mut self.to.connection, self.tenant, Closure::Arriving, cell, None).await
    }

    /// From now on, and no longer than this, nothing is written for the tenant in the old cell.
    pub async fn pause(&mut self, cell: &str, at_most: Duration) -> Result<()> {
        close(&mut self.from.connection, self.tenant, Closure::Paused, cell, Some(at_most)).await
    }

    /// Makes a pause one that does not end by itself.
    ///
    /// # Errors
    /// [`TransferError::PauseOver`] when it did.
    pub async fn hold(&mut self) -> Result<()> {
        let mut transaction = self.from.connection.begin().await?;
        lock(&mut transaction, None).await?;
        let held = sqlx::query(
            "UPDATE log.closed SET until = 'infinity'
             WHERE tenant_id = $1 AND state = 'paused' AND until > clock_timestamp()",
        )
        .bind(self.tenant.uuid())
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        if held.rows_affected() == 1 { Ok(()) } else { Err(TransferError::PauseOver(self.service)) }
    }

    /// Where the last event that was copied stands in the new cell.
    pub fn last(&self) -> Position {
        self.to.last()
    }

    /// What is in the old cell is an old copy from now on.
    pub async fn leave(&mut self, cell: &str) -> Result<()> {
        close(&mut self.from.connection, self.tenant, Closure::Left, cell, None).await
    }

    /// Copies what the new cell has not, as of now; how many events that were.
    ///
    /// Claims first: the keys are among them without which whoever reads the events there can't tell who they are about. Commands last,
    /// for they stand where their events do.
    pub async fn round(&mut self) -> Result<u64> {
        // Asked before anything is read: what is committed later may be seen or not.
        let end = head(&mut self.from.connection).await?.position;
        self.claims().await?;
        let mut copied = 0;
        loop {
            let rows = self.from.read(self.tenant, end, CHUNK).await?;
            if rows.is_empty() {
                break;
            }
            copied += rows.len() as u64;
            self.append(rows).await?;
            self.to.read(self.tenant, ALL, CHUNK).await?;
        }
        self.commands(end).await?;
        Ok(copied)
    }

    async fn append(&mut self, mut rows: Vec<StoredEvent>) -> Result<()> {
        let mut transaction = self.to.connection.begin().await?;
        let head = lock(&mut transaction, None).await?;
        let mut position = head.position;
        for row in &mut rows {
            position = position.next();
            row.event.position = position;
        }
        // What is appended later is not recorded earlier.
        let last = rows.iter().map(|row| row.event.recorded_at).max();
        let Some(recorded_at) = last.max(head.recorded_at) else { return Ok(()) };
        extend(&mut transaction, &rows, recorded_at, Whose::Own(self.tenant)).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Copies the commands up to a position that the new cell has not.
    ///
    /// There is no index by position: the tenant's commands are gone through.
    async fn commands(&mut self, end: Position) -> Result<()> {
        // A command without events stands where the log ended, whose event that ever was; so the last position is looked at again.
        let (tenant, from) = (self.tenant, self.commands);
        let mut chunk: Vec<StoredAnswer> = Vec::new();
        let (places, here, there) = (&self.from.places, &self.to.places, &mut self.to.connection);
        let place = |old: Position| side::place(places, here, old);
        let mut rows = sqlx::query(
            "SELECT tenant_id, command_id, request_hash, answer, first_position, last_position, recorded_at
             FROM log.commands WHERE tenant_id = $1 AND last_position BETWEEN $2 AND $3",
        )
        .bind(tenant.uuid())
        .bind(from.as_i64())
        .bind(end.as_i64())
        .fetch(&mut self.from.connection);
        while let Some(row) = rows.try_next().await? {
            let row = command(&row)?;
            chunk.push(StoredAnswer { first: place(row.first), last: place(row.last), ..row });
            if chunk.len() == ROWS {
                write::missing_commands(&mut *there, &std::mem::take(&mut chunk)).await?;
            }
        }
        drop(rows);
        write::missing_commands(there, &chunk).await?;
        self.commands = end;
        Ok(())
    }

    /// Makes the claims in the new cell those of the old one: the keys of persons among them.
    async fn claims(&mut self) -> Result<()> {
        let (here, there) = (
            claims(&mut self.from.connection, self.tenant).await?,
            claims(&mut self.to.connection, self.tenant).await?,
        );
        let mut transaction = self.to.connection.begin().await?;
        for StoredClaim { kind, key, .. } in there.difference(&here) {
            sqlx::query("DELETE FROM log.claims WHERE tenant_id = $1 AND kind = $2 AND key = $3")
                .bind(self.tenant.uuid())
                .bind(kind)
                .bind(key.as_slice())
                .execute(&mut *transaction)
                .await?;
        }
        let missing: Vec<_> = here.difference(&there).cloned().collect();
        for rows in missing.chunks(ROWS) {
            write::claims(&mut transaction, rows).await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Holds the two histories against each other, event by event as they were read back from both sides.
    ///
    /// # Errors
    /// [`TransferError::Differs`].
    pub async fn compare(&mut self) -> Result<Compared> {
        let service = self.service;
        let differs = |what: String| Err(TransferError::Differs { service, what });
        if !self.from.read(self.tenant, ALL, 1).await?.is_empty() {
            return differs("the old cell has events that were not copied".to_owned());
        }
        let (here, there) = (&self.from, &self.to);
        if (here.count(), here.root()) != (there.count(), there.root()) {
            return differs(format!(
                "{} events with the root {} are {} with the root {}",
                here.count(),
                hex::encode(here.root()),
                there.count(),
                hex::encode(there.root())
            ));
        }
        if here.streams != there.streams {
            return differs("streams do not end at the same versions".to_owned());
        }
        let count = |side: &'static str| format!("SELECT count(*) FROM log.{side} WHERE tenant_id = $1");
        for table in ["commands", "claims"] {
            let counted = count(table);
            let ask =
                |connection| sqlx::query_scalar::<_, i64>(&counted).bind(self.tenant.uuid()).fetch_one(connection);
            let (here, there) = (ask(&mut self.from.connection).await?, ask(&mut self.to.connection).await?);
            if here != there {
                return differs(format!("{here} {table} are {there}"));
            }
        }
        Ok(Compared {
            events: self.to.count(),
            streams: self.to.streams.len(),
            root: self.to.root(),
            last: self.to.last(),
        })
    }

    /// The old cell's database, for who looks at what stands beside the log.
    pub fn old(&mut self) -> &mut PgConnection {
        &mut self.from.connection
    }

    /// The new cell's database.
    pub fn new_cell(&mut self) -> &mut PgConnection {
        &mut self.to.connection
    }

    /// Begins to let the tenant write in the new cell.
    pub async fn open(&mut self) -> Result<Opening<'_>> {
        Opening::begin(self).await
    }
}

/// Closes a tenant, under the lock of the writers: whoever reads the log after that sees all there is.
async fn close(
    connection: &mut PgConnection,
    tenant: TenantId,
    closure: Closure,
    cell: &str,
    at_most: Option<Duration>,
) -> Result<()> {
    let mut transaction = connection.begin().await?;
    lock(&mut transaction, None).await?;
    sqlx::query(
        "INSERT INTO log.closed (tenant_id, state, cell, until)
         VALUES ($1, $2, $3, coalesce(clock_timestamp() + $4, 'infinity'))
         ON CONFLICT (tenant_id) DO UPDATE
         SET state = excluded.state, cell = excluded.cell, until = excluded.until, since = now()",
    )
    .bind(tenant.uuid())
    .bind(closure.as_str())
    .bind(cell)
    .bind(at_most)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(())
}

/// A tenant writes again where it was paused, if it was.
pub async fn resume(connection: &mut PgConnection, tenant: TenantId) -> std::result::Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM log.closed WHERE tenant_id = $1 AND state = 'paused'")
        .bind(tenant.uuid())
        .execute(connection)
        .await?;
    Ok(())
}

async fn claims(connection: &mut PgConnection, tenant: TenantId) -> Result<std::collections::BTreeSet<StoredClaim>> {
    let rows = sqlx::query("SELECT tenant_id, kind, key, holder FROM log.claims WHERE tenant_id = $1")
        .bind(tenant.uuid())
        .fetch_all(connection)
        .await?;
    Ok(rows.iter().map(claim).collect::<std::result::Result<_, _>>()?)
}

/// Where a tenant stands in a log: closed and why, if it is.
pub async fn standing(connection: &mut PgConnection, tenant: TenantId) -> Result<Option<Closure>> {
    let row = sqlx::query("SELECT state FROM log.closed WHERE tenant_id = $1 AND until > clock_timestamp()")
        .bind(tenant.uuid())
        .fetch_optional(connection)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let state: &str = row.try_get(0)?;
    Ok(Some(Closure::named(state).ok_or_else(|| Error::Corrupt(format!("a tenant is {state:?}")))?))
}

/// Deletes what an old copy has that can be deleted, with what stands beside the log. Its events stay, for a log's positions are dense; what
/// of them is sealed, nobody can open any more.
///
/// # Errors
/// When the tenant does not live elsewhere.
pub async fn purge(connection: &mut PgConnection, service: Service, tenant: TenantId) -> Result<()> {
    if standing(connection, tenant).await? != Some(Closure::Left) {
        let what = "what is here is no old copy".to_owned();
        return Err(TransferError::Differs { service, what });
    }
    sqlx::query("SELECT log.purge($1)").bind(tenant.uuid()).execute(connection).await?;
    Ok(())
}
