//! Moves a tenant's history from one cell's log to another's: ids, times, bytes and leaf hashes are unchanged, positions are new.
//!
//! A [`Transfer`] connects the two databases of a service. It copies claims, events, and commands with their answers in
//! [rounds](Transfer::round) while the tenant continues to write. Data that is already in the new cell, from an earlier round or from an
//! interrupted move, is compared and not copied again. The first round covers everything, later ones only what was changed since. Then the
//! tenant is [paused](Transfer::pause) in the old cell, a last round copies the rest, and [`compare`](Transfer::compare) compares the two
//! histories. [`open`](Transfer::open) copies the tables [next to](Opening::table) the log and allows writes in the new cell, in one
//! transaction.
//!
//! Both sides are used as a superuser, to whom row level security does not apply; every statement restricts itself to the one tenant.

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
use crate::backup::copied::{self, Origin};
use crate::backup::graft::{extend, lock};
use crate::backup::snapshot::head;
use crate::destroy::wait_for_writers;
use crate::{Closure, Error, LockClass, claim_key, master_key};

/// Events in one transaction in the new cell, during which other appends wait.
const CHUNK: u32 = 1_000;

/// An upper bound for "all events".
const ALL: Position = Position(i64::MAX.cast_unsigned());

/// Commands or claims in one statement.
const ROWS: usize = 5_000;

/// Why a history can't be moved.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// A database can't be read or written.
    #[error(transparent)]
    Log(#[from] Error),
    /// Row level security applies to the role that connects.
    #[error(
        "the role {0} is no superuser and does not bypass row level security: it can't see all that is to be moved"
    )]
    Role(String),
    /// The database was not migrated by this version of the program.
    #[error("the database of {0} was not prepared for moves; run inopsio migrate in its cell")]
    NotMigrated(Service),
    /// The two cells have different histories.
    #[error("{service}: the new cell has another history of the tenant: {what}; nothing was changed")]
    Differs {
        /// The service.
        service: Service,
        /// The difference.
        what: String,
    },
    /// The two cells hash claims under different keys.
    #[error(
        "{0}: the cells have different claim keys (postgres.claim_key, INOPSIO_CLAIM_KEY), so nothing that the tenant has taken would be \
         found in the new one; nothing was changed"
    )]
    ClaimKey(Service),
    /// Other master keys wrap the keys of the new cell's tenants.
    #[error(
        "{service}: the tenant's key is wrapped by the master key {wrapped_by}, and those of the new cell's tenants are not, so nobody could \
         open there what is encrypted: give both cells one master key (INOPSIO_MASTER_KEY, INOPSIO_FORMER_MASTER_KEY), and run inopsio key \
         rewrap in each; nothing was changed"
    )]
    MasterKey {
        /// The service.
        service: Service,
        /// The name of the master key.
        wrapped_by: String,
    },
    /// A read model is being built anew, perhaps with what is to be deleted.
    #[error("{0}: the read model {1} is being built anew; try again afterwards")]
    Building(Service, String),
    /// The pause ended before the move did.
    #[error("the pause of {0} ended before the rest was copied; the tenant writes again where it was")]
    PauseOver(Service),
    /// The tenant is closed for good: another mover has completed the move, or the tenant was deleted.
    #[error("{0}: the tenant does not live in this cell any more; nothing was changed")]
    Gone(Service),
}

impl From<sqlx::Error> for TransferError {
    fn from(error: sqlx::Error) -> Self {
        Self::Log(error.into())
    }
}

type Result<T> = std::result::Result<T, TransferError>;

/// The compared data of a tenant in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compared {
    /// The number of events.
    pub events: u64,
    /// The number of streams.
    pub streams: usize,
    /// The root of the tenant's Merkle tree (RFC 6962), which is the same on both sides.
    pub root: LeafHash,
    /// The position of the last event in the new cell.
    pub last: Position,
}

/// A tenant's move between the two databases of a service.
pub struct Transfer {
    service: Service,
    tenant: TenantId,
    from: Side,
    to: Side,
    /// Whether all claims and commands were copied once, and triggers record changes since.
    capturing: bool,
    /// Changed commands whose events were not copied yet.
    later: BTreeSet<String>,
    /// The changes that the last round copied.
    touched: Touched,
    /// The position in the old cell up to which the history is a copy of another tenant's.
    copy: Option<Position>,
}

impl Transfer {
    /// Connects to both sides, as superusers, and compares what the new cell already has.
    ///
    /// # Errors
    /// If a side can't be used; [`TransferError::ClaimKey`]; [`TransferError::MasterKey`]; [`TransferError::Differs`].
    pub async fn begin(
        service: Service,
        tenant: TenantId,
        from: &PgConnectOptions,
        to: &PgConnectOptions,
    ) -> Result<Self> {
        let (mut from, mut to) = (Side::connect(service, from).await?, Side::connect(service, to).await?);
        compare_master_keys(service, tenant, &mut from.connection, &mut to.connection).await?;
        if let Some(mark) = claim_key::of(&mut from.connection).await?
            && !claim_key::is_of_the_log(&mut to.connection, &mark).await?
        {
            return Err(TransferError::ClaimKey(service));
        }
        let (later, touched) = (BTreeSet::new(), Touched::default());
        let copy = copied::copy_of(&mut from.connection, tenant).await?;
        let mut transfer = Self { service, tenant, from, to, capturing: false, later, touched, copy };
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

    /// Events that are already in the new cell may have been copied by an older program that did not record that they are a copy of another
    /// tenant's.
    async fn mark_copy(&mut self) -> Result<()> {
        let Some(copy) = self.copy.filter(|_| self.to.count() > 0) else { return Ok(()) };
        let to = side::translate(&self.from.positions, &self.to.positions, copy);
        copied::record(&mut self.to.connection, Origin::CopyFor(self.tenant), to).await?;
        Ok(())
    }

    /// The service whose log it is.
    pub fn service(&self) -> Service {
        self.service
    }

    /// Closes the tenant in the new cell until its data is complete there. (If it lived there before, it is closed already.)
    pub async fn expect(&mut self, cell: &str) -> Result<()> {
        close(&mut self.to.connection, self.tenant, Closure::Arriving, cell, None).await.map(drop)
    }

    /// Blocks writes for the tenant in the old cell, for at most this time.
    ///
    /// # Errors
    /// [`TransferError::Gone`] if it does not live there any more.
    pub async fn pause(&mut self, cell: &str, at_most: Duration) -> Result<()> {
        let paused = close(&mut self.from.connection, self.tenant, Closure::Paused, cell, Some(at_most)).await?;
        if paused { Ok(()) } else { Err(TransferError::Gone(self.service)) }
    }

    /// Makes the pause permanent.
    ///
    /// # Errors
    /// [`TransferError::PauseOver`] if it has ended already.
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

    /// The position in the new cell of the last copied event.
    pub fn last(&self) -> Position {
        self.to.last()
    }

    /// Marks the data in the old cell as an old copy.
    pub async fn leave(&mut self, cell: &str) -> Result<()> {
        close(&mut self.from.connection, self.tenant, Closure::Left, cell, None).await.map(drop)
    }

    /// Copies what the new cell lacks at this moment. Returns the number of copied events. The first round covers all claims and commands
    /// on both sides, each later one those that were changed since.
    ///
    /// Claims are copied first: among them are the keys without which readers of the events can't decrypt them. Commands are last, because
    /// their positions are those of their events.
    pub async fn round(&mut self) -> Result<u64> {
        if !self.capturing {
            touched::start_capture(&mut self.from.connection, self.tenant).await?;
        }
        // Read before anything else: later commits may or may not be seen by this round.
        let end = head(&mut self.from.connection).await?.position;
        if self.capturing {
            self.touched = touched::drain(&mut self.from.connection, self.tenant).await?;
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
        if self.capturing {
            self.touched_commands(end).await?;
        } else {
            self.all_commands(end).await?;
        }
        self.seals().await?;
        self.capturing = true;
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
        // `recorded_at` never decreases within a log.
        let last = rows.iter().map(|row| row.event.recorded_at).max();
        let Some(recorded_at) = last.max(head.recorded_at) else { return Ok(()) };
        extend(&mut transaction, &rows, recorded_at, Origin::MovedFor(self.tenant)).await?;
        if let Some(to) = copy {
            copied::record(&mut transaction, Origin::CopyFor(self.tenant), to).await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Compares the two histories as read back from both sides: all events one by one, and the claims and commands of the last round (the
    /// rounds before compared the others). To be called right after a round, when nothing is written any more. It takes as long as that
    /// round.
    ///
    /// # Errors
    /// [`TransferError::Differs`].
    pub async fn compare(&mut self) -> Result<Compared> {
        let service = self.service;
        let differs = |what: String| Err(TransferError::Differs { service, what });
        if !self.from.read(self.tenant, ALL, 1).await?.is_empty() {
            return differs("the old cell has events that were not copied".to_owned());
        }
        // The leaf hashes cover streams and versions, too.
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
        if !self.later.is_empty() || !touched::drain(&mut self.from.connection, self.tenant).await?.is_empty() {
            return differs("the old cell has claims or commands that were not copied".to_owned());
        }
        if let Some(what) = self.differing_claim().await?.or(self.differing_command().await?) {
            return differs(what);
        }
        Ok(Compared {
            events: self.to.count(),
            streams: self.to.streams.len(),
            root: self.to.root(),
            last: self.to.last(),
        })
    }

    /// Whether the tenant's read models in the new cell have to be rebuilt: they were purged earlier, or were not moved as planned.
    pub async fn needs_rebuild(&mut self) -> Result<bool> {
        let asked = sqlx::query_scalar("SELECT EXISTS (SELECT FROM log.closed WHERE tenant_id = $1 AND purged)");
        Ok(asked.bind(self.tenant.uuid()).fetch_one(&mut self.to.connection).await?)
    }

    /// Records that the read models were rebuilt.
    pub async fn record_rebuilt(&mut self) -> Result<()> {
        sqlx::query("UPDATE log.closed SET purged = false WHERE tenant_id = $1")
            .bind(self.tenant.uuid())
            .execute(&mut self.to.connection)
            .await?;
        Ok(())
    }

    /// The connection to the old cell's database, for crates that move tables of their own.
    pub fn old(&mut self) -> &mut PgConnection {
        &mut self.from.connection
    }

    /// The connection to the new cell's database.
    pub fn new_cell(&mut self) -> &mut PgConnection {
        &mut self.to.connection
    }

    /// Begins the transaction that allows the tenant to write in the new cell.
    pub async fn open(&mut self) -> Result<Opening<'_>> {
        Opening::begin(self).await
    }
}

/// Checks that a master key of the new cell opens the tenant's key. A cell whose tenants have no keys yet takes any. A copy of the tenant
/// that is there, from an earlier move, does not count: its key is replaced, and `rewrap` leaves it out.
async fn compare_master_keys(
    service: Service,
    tenant: TenantId,
    from: &mut PgConnection,
    to: &mut PgConnection,
) -> Result<()> {
    let Some(wrapped) = master_key::of_tenant(from, tenant).await? else { return Ok(()) };
    let there = master_key::one_of_each_but(to, tenant).await?;
    if there.is_empty() || there.iter().any(|(_, other)| other.wrapped_by() == wrapped.wrapped_by()) {
        return Ok(());
    }
    Err(TransferError::MasterKey { service, wrapped_by: wrapped.wrapped_by().to_owned() })
}

/// Closes a tenant, under the writers' lock: whoever reads the log afterwards sees all of its events. False: it is closed otherwise already,
/// and a pause, which ends by itself, would open it again; nothing is changed.
async fn close(
    connection: &mut PgConnection,
    tenant: TenantId,
    closure: Closure,
    cell: &str,
    at_most: Option<Duration>,
) -> Result<bool> {
    let mut transaction = connection.begin().await?;
    lock(&mut transaction, None).await?;
    let closed = sqlx::query(
        "INSERT INTO log.closed (tenant_id, state, cell, until)
         VALUES ($1, $2, $3, coalesce(clock_timestamp() + $4, 'infinity'))
         ON CONFLICT (tenant_id) DO UPDATE
         SET state = excluded.state, cell = excluded.cell, until = excluded.until, since = now()
         WHERE closed.state = 'paused' OR excluded.state <> 'paused'",
    )
    .bind(tenant.uuid())
    .bind(closure.as_str())
    .bind(cell)
    .bind(at_most)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(closed.rows_affected() == 1)
}

/// Ends a tenant's pause, if it is paused.
pub async fn resume(connection: &mut PgConnection, tenant: TenantId) -> std::result::Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM log.closed WHERE tenant_id = $1 AND state = 'paused'")
        .bind(tenant.uuid())
        .execute(connection)
        .await?;
    Ok(())
}

/// Why a tenant is closed in a log, if it is.
pub async fn standing(connection: &mut PgConnection, tenant: TenantId) -> Result<Option<Closure>> {
    let row = sqlx::query("SELECT state FROM log.closed WHERE tenant_id = $1 AND until > clock_timestamp()")
        .bind(tenant.uuid())
        .fetch_optional(connection)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let state: &str = row.try_get(0)?;
    Ok(Some(Closure::named(state).ok_or_else(|| Error::Corrupt(format!("a tenant is {state:?}")))?))
}

/// Stops recording changes of a tenant in its old cell, when its move has ended or was cancelled.
pub async fn ended(connection: &mut PgConnection, tenant: TenantId) -> Result<()> {
    Ok(touched::stop_capture(connection, tenant).await?)
}

/// Deletes the old copy of a tenant that lives in another cell, as far as possible, including the tables next to the log: answers, claims
/// with the data subjects' keys, snapshots, read models. Its events stay, because a log's positions have no gaps; the sealed values in them
/// can't be decrypted any more.
///
/// # Errors
/// If the tenant lives here (it is not closed), or another transaction writes to the database for longer than half a minute.
/// [`TransferError::NotMigrated`]: the cell was migrated by an older program. [`TransferError::Building`]: a read model is being built.
pub async fn purge(connection: &mut PgConnection, service: Service, tenant: TenantId) -> Result<()> {
    // Checked before anything is changed.
    let migrated = "SELECT to_regprocedure('log.writers()') IS NOT NULL";
    if !sqlx::query_scalar::<_, bool>(migrated).fetch_one(&mut *connection).await? {
        return Err(TransferError::NotMigrated(service));
    }
    keep_from_building(connection, service).await?;
    let copies = "UPDATE log.closed SET purged = true
                  WHERE tenant_id = $1 AND state IN ('left', 'arriving') AND until = 'infinity'";
    // Marked first, as when a tenant is destroyed: rows that are being written for the tenant are not left behind.
    if sqlx::query(copies).bind(tenant.uuid()).execute(&mut *connection).await?.rows_affected() == 1 {
        wait_for_writers(connection).await?;
    }
    let mut transaction = connection.begin().await?;
    keep_from_building(&mut transaction, service).await?;
    if sqlx::query(copies).bind(tenant.uuid()).execute(&mut *transaction).await?.rows_affected() == 1 {
        sqlx::query("SELECT log.purge($1)").bind(tenant.uuid()).execute(&mut *transaction).await?;
    } else {
        // A move that was cancelled before it reached this service has left nothing here.
        let has = "SELECT EXISTS (SELECT FROM log.commands WHERE tenant_id = $1) OR EXISTS (SELECT FROM log.claims WHERE tenant_id = $1)";
        if sqlx::query_scalar(has).bind(tenant.uuid()).fetch_one(&mut *transaction).await? {
            let what = "what is here is no old copy".to_owned();
            return Err(TransferError::Differs { service, what });
        }
    }
    transaction.commit().await?;
    Ok(touched::stop_capture(connection, tenant).await?)
}

/// Prevents that a read model is built anew before the transaction ends. A build has decrypted events in its hands, and would write what
/// is deleted meanwhile.
async fn keep_from_building(connection: &mut PgConnection, service: Service) -> Result<()> {
    let any = "SELECT to_regclass('projector.checkpoints') IS NOT NULL";
    if !sqlx::query_scalar::<_, bool>(any).fetch_one(&mut *connection).await? {
        return Ok(());
    }
    let building = "SELECT projection FROM projector.checkpoints
                    WHERE NOT pg_try_advisory_xact_lock($1, hashtext(projection)) LIMIT 1";
    let lock = LockClass::ProjectionBuild.number();
    match sqlx::query_scalar(building).bind(lock).fetch_optional(connection).await? {
        Some(projection) => Err(TransferError::Building(service, projection)),
        None => Ok(()),
    }
}
