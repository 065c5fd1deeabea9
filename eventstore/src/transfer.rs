//! One tenant's history out of one cell's log and into another's, as it is: ids, times, bytes and leaf hashes stay, positions are new.
//!
//! A [`Transfer`] is between the two databases of a service. It copies in [rounds](Transfer::round) while the tenant writes: claims,
//! events, and commands with their answers. What is there already, from a round before or
//! from a move that broke off, is compared and not copied again. The first round goes through everything, later ones through what was
//! touched since. Then the tenant is [paused](Transfer::pause) in the old cell, a last
//! round brings the rest, and [`compare`](Transfer::compare) holds the two histories against each other. [`open`](Transfer::open) takes
//! what stands [beside](Opening::table) the log along and lets the tenant write in the new cell, in one transaction.
//!
//! Both sides are used as a superuser, whom row level security does not bind: it reads and writes for one tenant in every statement.

mod claims;
mod commands;
mod seals;
mod side;
mod table;
mod touched;

use std::collections::BTreeSet;
use std::time::Duration;

use kernel::{LeafHash, Position, Service, TenantId};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection, Row};

use self::side::Side;
pub use self::table::Opening;
use self::touched::Touched;
use crate::backup::StoredEvent;
use crate::backup::copied::{self, Whose};
use crate::backup::graft::{extend, lock};
use crate::backup::snapshot::head;
use crate::destroy::writers_ended;
use crate::{Closure, Error};

/// Events of one transaction in the new cell, in which others' appends wait.
const CHUNK: u32 = 1_000;

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
    /// All that is no event was read once, and what is touched since is noted.
    noting: bool,
    /// Commands that were touched, and stand after what was copied.
    later: BTreeSet<String>,
    /// What the last round had to look at.
    touched: Touched,
    /// Up to where in the old cell the history is a copy of another tenant's.
    copy: Option<Position>,
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
        let (mut from, to) = (Side::connect(service, from).await?, Side::connect(service, to).await?);
        let (later, touched) = (BTreeSet::new(), Touched::default());
        let copy = copied::copy_of(&mut from.connection, tenant).await?;
        let mut transfer = Self { service, tenant, from, to, noting: false, later, touched, copy };
        loop {
            let there = transfer.to.read(tenant, ALL, CHUNK).await?;
            let Some(count) = u32::try_from(there.len()).ok().filter(|count| *count > 0) else { break };
            let here = transfer.from.read(tenant, ALL, count).await?;
            if here.iter().map(|row| row.leaf_hash).ne(there.iter().map(|row| row.leaf_hash)) {
                let what = format!("of {} events it has, not all are the tenant's", transfer.to.count());
                return Err(TransferError::Differs { service, what });
            }
        }
        transfer.mark_copy().await?;
        Ok(transfer)
    }

    /// What is there already of a copy may have been brought there by a program that did not say so.
    async fn mark_copy(&mut self) -> Result<()> {
        let Some(copy) = self.copy.filter(|_| self.to.count() > 0) else { return Ok(()) };
        let to = side::place(&self.from.places, &self.to.places, copy);
        copied::note(&mut self.to.connection, Whose::CopyFor(self.tenant), to).await?;
        Ok(())
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

    /// Copies what the new cell has not, as of now; how many events that were. The first round goes through all claims and commands on
    /// both sides, each later one through those that were touched since.
    ///
    /// Claims first: the keys are among them without which whoever reads the events there can't tell who they are about. Commands last,
    /// for they stand where their events do.
    pub async fn round(&mut self) -> Result<u64> {
        if !self.noting {
            touched::note(&mut self.from.connection, self.tenant).await?;
        }
        // Asked before anything is read: what is committed later may be seen or not.
        let end = head(&mut self.from.connection).await?.position;
        if self.noting {
            self.touched = touched::take(&mut self.from.connection, self.tenant).await?;
            self.touched_claims().await?;
        } else {
            self.all_claims().await?;
        }
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
        if self.noting {
            self.touched_commands(end).await?;
        } else {
            self.all_commands(end).await?;
        }
        self.seals().await?;
        self.noting = true;
        Ok(copied)
    }

    async fn append(&mut self, mut rows: Vec<StoredEvent>) -> Result<()> {
        let mut transaction = self.to.connection.begin().await?;
        let head = lock(&mut transaction, None).await?;
        let (mut position, mut copy) = (head.position, None);
        for row in &mut rows {
            position = position.next();
            if self.copy.is_some_and(|to| row.event.position <= to) {
                copy = Some(position);
            }
            row.event.position = position;
        }
        // What is appended later is not recorded earlier.
        let last = rows.iter().map(|row| row.event.recorded_at).max();
        let Some(recorded_at) = last.max(head.recorded_at) else { return Ok(()) };
        extend(&mut transaction, &rows, recorded_at, Whose::Own(self.tenant)).await?;
        if let Some(to) = copy {
            copied::note(&mut transaction, Whose::CopyFor(self.tenant), to).await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Holds the two histories against each other, as they were read back from both sides: event by event all of them, claims and
    /// commands those that the last round had to look at (the rounds before compared the others). To be called when nothing is written
    /// any more, right after a round: it takes as long as that one.
    ///
    /// # Errors
    /// [`TransferError::Differs`].
    pub async fn compare(&mut self) -> Result<Compared> {
        let service = self.service;
        let differs = |what: String| Err(TransferError::Differs { service, what });
        if !self.from.read(self.tenant, ALL, 1).await?.is_empty() {
            return differs("the old cell has events that were not copied".to_owned());
        }
        // Streams and versions are in the leaves.
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
        if !self.later.is_empty() || !touched::take(&mut self.from.connection, self.tenant).await?.is_empty() {
            return differs("the old cell has claims or commands that were not copied".to_owned());
        }
        if let Some(what) = self.untrue_claim().await?.or(self.untrue_command().await?) {
            return differs(what);
        }
        Ok(Compared {
            events: self.to.count(),
            streams: self.to.streams.len(),
            root: self.to.root(),
            last: self.to.last(),
        })
    }

    /// What is in the new cell was purged before, or taken otherwise than was decided: its read models are not what they should be.
    pub async fn is_to_be_built_anew(&mut self) -> Result<bool> {
        let asked = sqlx::query_scalar("SELECT EXISTS (SELECT FROM log.closed WHERE tenant_id = $1 AND purged)");
        Ok(asked.bind(self.tenant.uuid()).fetch_one(&mut self.to.connection).await?)
    }

    /// Its read models were built anew since.
    pub async fn built_anew(&mut self) -> Result<()> {
        sqlx::query("UPDATE log.closed SET purged = false WHERE tenant_id = $1")
            .bind(self.tenant.uuid())
            .execute(&mut self.to.connection)
            .await?;
        Ok(())
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

/// What is touched of a tenant in its old cell is not noted any more: its move ended, or was taken back.
pub async fn ended(connection: &mut PgConnection, tenant: TenantId) -> Result<()> {
    Ok(touched::forget(connection, tenant).await?)
}

/// Deletes what can be deleted of a copy, of a tenant that lives elsewhere, with what stands beside the log: answers, claims with the keys
/// of persons, snapshots, read models. Its events stay, for a log's positions are dense; what of them is sealed, nobody can open any more.
///
/// # Errors
/// When the tenant is not closed here, as it is where it lives, or somebody writes to the database for longer than half a minute.
/// [`TransferError::NotMigrated`]: the cell has tables of an earlier program.
pub async fn purge(connection: &mut PgConnection, service: Service, tenant: TenantId) -> Result<()> {
    // Before anything is noted.
    let migrated = "SELECT to_regprocedure('log.writers()') IS NOT NULL";
    if !sqlx::query_scalar::<_, bool>(migrated).fetch_one(&mut *connection).await? {
        return Err(TransferError::NotMigrated(service));
    }
    let copies = "UPDATE log.closed SET purged = true
                  WHERE tenant_id = $1 AND state IN ('left', 'arriving') AND until = 'infinity'";
    // Noted first, as where a tenant is destroyed: nothing that is being written of one that has left stays behind.
    if sqlx::query(copies).bind(tenant.uuid()).execute(&mut *connection).await?.rows_affected() == 1 {
        writers_ended(connection).await?;
    }
    let mut transaction = connection.begin().await?;
    if sqlx::query(copies).bind(tenant.uuid()).execute(&mut *transaction).await?.rows_affected() == 1 {
        sqlx::query("SELECT log.purge($1)").bind(tenant.uuid()).execute(&mut *transaction).await?;
    } else {
        // A move that was taken back before it came here left nothing.
        let has = "SELECT EXISTS (SELECT FROM log.commands WHERE tenant_id = $1) OR EXISTS (SELECT FROM log.claims WHERE tenant_id = $1)";
        if sqlx::query_scalar(has).bind(tenant.uuid()).fetch_one(&mut *transaction).await? {
            let what = "what is here is no old copy".to_owned();
            return Err(TransferError::Differs { service, what });
        }
    }
    transaction.commit().await?;
    Ok(touched::forget(connection, tenant).await?)
}
