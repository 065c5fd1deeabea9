//! The tables: leaves as they stand in the log, trees, seals.

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
use crate::read::{columns, patiently};
use crate::replay::{read_in_order, set_tenant};
use crate::{Error, EventStore};

/// Leaves of one transaction, and seals of one.
const LEAVES: i64 = 20_000;
const SEALS: i64 = 500;

/// Events of one page of a history.
const PAGE: u32 = 5_000;

/// Seals of one page.
pub(crate) const SEALS_OF_A_PAGE: i64 = 1_000;

const HISTORY: &str = concat!(
    "SELECT ",
    columns!(),
    ", leaf_hash FROM log.events WHERE tenant_id = $1 AND position > $2 ORDER BY position LIMIT $3"
);

/// Trees that have grown since they were sealed last, with that seal. What is only arriving from another cell is sealed when it is whole, and
/// what is on its way out there: a seal that the other cell does not get would be a second one that names the one before it.
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

/// How far the trees have grown, and how far the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reach {
    pub(super) trees: Position,
    pub(super) log: Position,
}

/// Asks for both.
pub(super) async fn reach(connection: &mut PgConnection) -> Result<Reach, Error> {
    let row = sqlx::query("SELECT s.position, h.position FROM log.sealer s CROSS JOIN log.head h")
        .fetch_one(connection)
        .await?;
    Ok(Reach { trees: Position::from_i64(row.try_get(0)?), log: Position::from_i64(row.try_get(1)?) })
}

/// Up to where the trees have grown; until the transaction ends nobody else grows or signs, be it a sealer that has lost its lock and does
/// not know yet: two seals must not name the same one before them.
pub(crate) async fn turn(connection: &mut PgConnection) -> Result<i64, Error> {
    Ok(sqlx::query_scalar("SELECT position FROM log.sealer FOR UPDATE").fetch_one(connection).await?)
}

/// Adds what the log has next to the trees of those whose it is; up to where.
pub(super) async fn grow(connection: &mut PgConnection) -> Result<Position, Error> {
    let mut transaction = connection.begin().await?;
    let before = turn(&mut transaction).await?;
    // Along `events_position`.
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
    // Only asked while the log says that it goes on.
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

/// Signs the heads of trees that have grown; of how many. To be called until there is none.
pub(super) async fn sign(
    connection: &mut PgConnection,
    key: &SealKey,
    service: &str,
    now: DateTime<Utc>,
) -> Result<usize, Error> {
    let mut transaction = connection.begin().await?;
    turn(&mut transaction).await?;
    let rows = sqlx::query(UNSEALED).bind(SEALS).fetch_all(&mut *transaction).await?;
    let mut seals = Vec::with_capacity(rows.len());
    for row in &rows {
        let (tenant, tree): (Uuid, _) = (row.try_get(0)?, tree(row)?);
        let previous = match row.try_get::<Option<i64>, _>(3)? {
            Some(_) => Some(seal(row, 3, (tenant, service))?),
            None => None,
        };
        // A seal that came along from another cell may be of this head already.
        if previous.as_ref().is_some_and(|previous| previous.size >= tree.size()) {
            continue;
        }
        // No seal is signed before the one that it names.
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

/// Writes seals that are not there.
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

/// A seal whose columns begin at `at` with its size.
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

/// A tenant's events after a position with the hashes that the log has for them, in order: a page; none: there is no more.
pub(super) async fn history(store: &EventStore, tenant: TenantId, after: Position) -> Result<Vec<StoredEvent>, Error> {
    patiently(|| async move {
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

/// A tenant's seals of more than so many events, the smallest first: a page; none: there is no more.
pub(super) async fn seals(store: &EventStore, tenant: TenantId, after: u64) -> Result<Vec<Seal>, Error> {
    patiently(|| async move {
        let mut transaction = store.readers().begin().await?;
        set_tenant(&mut transaction, tenant).await?;
        let whose = (tenant.uuid(), store.service().name());
        let page = page(&mut transaction, whose, after, SEALS_OF_A_PAGE).await?;
        transaction.commit().await?;
        Ok(page)
    })
    .await
}

/// The same on a connection that may see them, of so many seals.
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

/// A tenant's last seal; none: nothing of it was sealed.
///
/// # Errors
/// When the log can't be read.
pub async fn last_seal(store: &EventStore, tenant: TenantId) -> Result<Option<Seal>, Error> {
    patiently(|| async move {
        let mut transaction = store.readers().begin().await?;
        set_tenant(&mut transaction, tenant).await?;
        let row = sqlx::query(LAST).bind(tenant.uuid()).fetch_optional(&mut *transaction).await?;
        transaction.commit().await?;
        row.map(|row| seal(&row, 0, (tenant.uuid(), store.service().name()))).transpose()
    })
    .await
}
