//! Queries for seals: of leaf hashes in the log, of trees, and of seals.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use kernel::{LeafHash, Position, TenantId, Tree};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Connection, Row};
use uuid::Uuid;

use super::{Seal, SealKey};
use crate::backup::StoredEvent;
use crate::backup::snapshot::hash;
use crate::bounded::Bounded;
use crate::log_head;
use crate::read::{columns, with_retries};
use crate::replay::{read_in_order, set_tenant};
use crate::{Error, EventStore};

/// The most leaves that are added, and heads that are signed, in one transaction.
const LEAVES: i64 = 20_000;
const SEALS: i64 = 500;

/// Events in one page of a history.
const PAGE: u32 = 5_000;

/// Seals in one page.
pub(crate) const SEALS_OF_A_PAGE: i64 = 1_000;

const HISTORY: &str = concat!(
    "SELECT ",
    columns!(),
    ", leaf_hash FROM log.events WHERE tenant_id = $1 AND position > $2 ORDER BY position LIMIT $3"
);

/// Trees that have grown since their last seal, with that seal. Tenants that are being moved are excluded in both cells until the move has
/// ended, and afterwards in the old cell: a seal that the new cell does not get would have the same predecessor as another one that is
/// signed there.
const UNSEALED: &str = "SELECT t.tenant_id, t.size, t.peaks, s.size, s.root, s.sealed_at, s.key, s.previous, s.signature
     FROM log.trees t
     LEFT JOIN LATERAL (SELECT * FROM log.seals s WHERE s.tenant_id = t.tenant_id ORDER BY s.size DESC LIMIT 1) s ON true
     WHERE t.size > t.sealed
       AND NOT EXISTS (
           SELECT FROM log.closed c
           WHERE c.tenant_id = t.tenant_id AND c.state IN ('arriving', 'paused', 'left') AND c.until > clock_timestamp())
     ORDER BY t.tenant_id LIMIT $1";

const OF_TENANT: &str = "SELECT size, root, sealed_at, key, previous, signature FROM log.seals
     WHERE tenant_id = $1 AND size > $2 ORDER BY size LIMIT $3";

const LAST: &str = "SELECT size, root, sealed_at, key, previous, signature FROM log.seals
     WHERE tenant_id = $1 ORDER BY size DESC LIMIT 1";

/// The positions up to which the trees and the log have grown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) trees: Position,
    pub(super) log: Position,
}

/// Reads both positions.
pub(super) async fn progress(connection: &mut PgConnection) -> Result<Progress, Error> {
    let row = sqlx::query(concat!("SELECT s.position, h.position FROM log.sealer s CROSS JOIN ", log_head!()))
        .fetch_one(connection)
        .await?;
    Ok(Progress { trees: Position::from_i64(row.try_get(0)?), log: Position::from_i64(row.try_get(1)?) })
}

/// Locks the sealer's position until the transaction ends, and returns it. This excludes other sealers, also one that has lost its advisory
/// lock without noticing yet: two seals must not have the same predecessor.
pub(crate) async fn lock_position(connection: &mut PgConnection) -> Result<i64, Error> {
    Ok(sqlx::query_scalar("SELECT position FROM log.sealer FOR UPDATE").fetch_one(connection).await?)
}

/// Adds the next events of the log to their tenants' trees. Returns the new position of the trees.
pub(super) async fn grow(connection: &mut PgConnection) -> Result<Position, Error> {
    let mut transaction = connection.begin().await?;
    let before = lock_position(&mut transaction).await?;
    // Uses the index `events_position`.
    let rows = sqlx::query(
        "SELECT tenant_id, position, leaf_hash FROM log.events WHERE position > $1 ORDER BY position LIMIT $2",
    )
    .bind(before)
    .bind(LEAVES)
    .fetch_all(&mut *transaction)
    .await?;
    let missing = |position: i64| {
        Error::Corrupt(format!("the log has no event at position {position}: nothing after it is sealed"))
    };
    // Called only if the log's end is beyond the trees.
    if rows.is_empty() {
        return Err(missing(before + 1));
    }
    let (mut last, mut leaves) = (before, HashMap::<Uuid, Vec<LeafHash>>::new());
    for row in &rows {
        let position: i64 = row.try_get(1)?;
        if position != last + 1 {
            return Err(missing(last + 1));
        }
        last = position;
        leaves.entry(row.try_get(0)?).or_default().push(hash(row, 2)?);
    }
    let tenants: Vec<Uuid> = leaves.keys().copied().collect();
    let mut trees: HashMap<Uuid, Tree> = HashMap::new();
    let known = sqlx::query("SELECT tenant_id, size, peaks FROM log.trees WHERE tenant_id = ANY ($1)")
        .bind(&tenants)
        .fetch_all(&mut *transaction)
        .await?;
    for row in &known {
        trees.insert(row.try_get(0)?, tree(row)?);
    }
    let (mut sizes, mut peaks) = (Vec::with_capacity(tenants.len()), Vec::with_capacity(tenants.len()));
    for tenant in &tenants {
        let tree = trees.entry(*tenant).or_default();
        leaves.remove(tenant).unwrap_or_default().into_iter().for_each(|leaf| tree.push(leaf));
        sizes.push(tree.size().cast_signed());
        peaks.push(tree.peaks().concat());
    }
    sqlx::query(
        "INSERT INTO log.trees AS t (tenant_id, size, peaks)
         SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bytea[])
         ON CONFLICT (tenant_id) DO UPDATE SET size = excluded.size, peaks = excluded.peaks",
    )
    .bind(&tenants)
    .bind(&sizes)
    .bind(&peaks)
    .execute(&mut *transaction)
    .await?;
    sqlx::query("UPDATE log.sealer SET position = $1").bind(last).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(Position::from_i64(last))
}

/// Signs heads of trees that have grown. Returns the number of trees that were handled; to be called again until it is 0.
pub(super) async fn sign(
    connection: &mut PgConnection,
    key: &SealKey,
    service: &str,
    now: DateTime<Utc>,
) -> Result<usize, Error> {
    let mut transaction = connection.begin().await?;
    lock_position(&mut transaction).await?;
    let rows = sqlx::query(UNSEALED).bind(SEALS).fetch_all(&mut *transaction).await?;
    let mut seals = Vec::with_capacity(rows.len());
    for row in &rows {
        let (tenant, tree): (Uuid, _) = (row.try_get(0)?, tree(row)?);
        let previous = match row.try_get::<Option<i64>, _>(3)? {
            Some(_) => Some(seal(row, 3, (tenant, service))?),
            None => None,
        };
        // A seal that was moved here from another cell may cover this head already.
        if previous.as_ref().is_some_and(|previous| previous.size >= tree.size()) {
            continue;
        }
        // `sealed_at` never decreases from one seal to the next.
        let now = previous.as_ref().map_or(now, |previous| now.max(previous.sealed_at));
        seals.push(Seal::sign(key, (tenant, service), (tree.size(), tree.root()), previous.as_ref(), now));
    }
    insert(&mut transaction, &seals).await?;
    let tenants: Vec<Uuid> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    let sizes: Vec<i64> = rows.iter().map(|row| row.try_get(1)).collect::<Result<_, _>>()?;
    sqlx::query(
        "UPDATE log.trees t SET sealed = u.size FROM unnest($1::uuid[], $2::bigint[]) AS u (tenant_id, size)
         WHERE t.tenant_id = u.tenant_id",
    )
    .bind(&tenants)
    .bind(&sizes)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(rows.len())
}

/// Inserts new seals.
pub(crate) async fn insert(connection: &mut PgConnection, seals: &[Seal]) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO log.seals (tenant_id, size, root, sealed_at, key, previous, signature)
         SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bytea[], $4::timestamptz[], $5::text[], $6::bytea[], $7::bytea[])",
    )
    .bind(seals.iter().map(|seal| seal.tenant).collect::<Vec<_>>())
    .bind(seals.iter().map(|seal| seal.size.cast_signed()).collect::<Vec<_>>())
    .bind(seals.iter().map(|seal| seal.root.as_slice()).collect::<Vec<_>>())
    .bind(seals.iter().map(|seal| seal.sealed_at).collect::<Vec<_>>())
    .bind(seals.iter().map(|seal| seal.key.as_str()).collect::<Vec<_>>())
    .bind(seals.iter().map(|seal| seal.previous.as_slice()).collect::<Vec<_>>())
    .bind(seals.iter().map(|seal| seal.signature.as_slice()).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

fn tree(row: &PgRow) -> Result<Tree, Error> {
    let (size, peaks): (i64, &[u8]) = (row.try_get(1)?, row.try_get(2)?);
    let (peaks, rest) = peaks.as_chunks::<32>();
    let resumed = rest.is_empty().then(|| Tree::resumed(size.cast_unsigned(), peaks.to_vec())).flatten();
    resumed.ok_or_else(|| Error::Corrupt("a tenant's tree has not the peaks of its size".to_owned()))
}

/// Reads a seal from the columns that begin at `at` with its size.
fn seal(row: &PgRow, at: usize, (tenant, service): (Uuid, &str)) -> Result<Seal, Error> {
    let signature: &[u8] = row.try_get(at + 5)?;
    Ok(Seal {
        tenant,
        service: service.to_owned(),
        size: row.try_get::<i64, _>(at)?.cast_unsigned(),
        root: hash(row, at + 1)?,
        sealed_at: row.try_get(at + 2)?,
        key: row.try_get(at + 3)?,
        previous: hash(row, at + 4)?,
        signature: signature.try_into().map_err(|_| Error::Corrupt("a signature has not 64 bytes".to_owned()))?,
    })
}

/// A page of a tenant's events after a position, with their stored hashes, in order. Empty at the end.
pub(super) async fn history(store: &EventStore, tenant: TenantId, after: Position) -> Result<Vec<StoredEvent>, Error> {
    with_retries(|| async move {
        let mut transaction = store.readers().begin().await?;
        set_tenant(&mut transaction, tenant).await?;
        read_in_order(&mut transaction).await?;
        let mut page = Bounded::<StoredEvent>::new(PAGE);
        while let Some(wanted) = page.wanted() {
            let after = page.last().unwrap_or(after);
            let asked = sqlx::query(HISTORY).bind(tenant.uuid()).bind(after.as_i64()).bind(i64::from(wanted));
            page.take(wanted, asked.fetch(&mut *transaction)).await?;
        }
        transaction.commit().await?;
        Ok(page.into_entries())
    })
    .await
}

/// A page of a tenant's seals that cover more than `after` events, in order of size. Empty at the end.
pub(super) async fn seals(store: &EventStore, tenant: TenantId, after: u64) -> Result<Vec<Seal>, Error> {
    with_retries(|| async move {
        let mut transaction = store.readers().begin().await?;
        set_tenant(&mut transaction, tenant).await?;
        let whose = (tenant.uuid(), store.service().name());
        let page = page(&mut transaction, whose, after, SEALS_OF_A_PAGE).await?;
        transaction.commit().await?;
        Ok(page)
    })
    .await
}

/// As [`seals`], on a given connection that may read them, at most `limit` seals.
pub(crate) async fn page(
    connection: &mut PgConnection,
    (tenant, service): (Uuid, &str),
    after: u64,
    limit: i64,
) -> Result<Vec<Seal>, Error> {
    let page = sqlx::query(OF_TENANT).bind(tenant).bind(after.cast_signed()).bind(limit);
    let rows = page.fetch_all(connection).await?;
    rows.iter().map(|row| seal(row, 0, (tenant, service))).collect()
}

/// A tenant's last seal; `None`: there is none.
///
/// # Errors
/// If the log can't be read.
pub async fn last_seal(store: &EventStore, tenant: TenantId) -> Result<Option<Seal>, Error> {
    with_retries(|| async move {
        let mut transaction = store.readers().begin().await?;
        set_tenant(&mut transaction, tenant).await?;
        let row = sqlx::query(LAST).bind(tenant.uuid()).fetch_optional(&mut *transaction).await?;
        transaction.commit().await?;
        row.map(|row| seal(&row, 0, (tenant.uuid(), store.service().name()))).transpose()
    })
    .await
}
