//! [`Graft`]: appends a copy of one tenant's history, under another tenant's id, to a log that is in use.
//!
//! The keys of the copied people are stored with their events. So a copy that is not completed has to be [given up](Graft::give_up): no
//! erasure and no deletion would ever reach it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use kernel::{Clock, Leaf, Position, RecordedEvent, TenantId};
use sha2::{Digest, Sha256};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection, Executor};
use uuid::{Builder, Uuid};

use super::copied::Origin;
use super::snapshot::head;
use super::{Head, StoredClaim, StoredEvent, copied, write};
use crate::sealing::{Copying, PERSON_KEY};
use crate::{Closure, Database, Error, LockKey, admin};

/// How long a transaction that blocks all writers may be idle: much longer than the computing between two of its statements, and shorter
/// than the time that appends wait.
const MAX_IDLE: Duration = Duration::from_secs(5);

/// Claims in one statement.
const CLAIMS: usize = 5_000;

/// Appends events for a tenant for which nobody else writes.
pub struct Graft {
    tenant: TenantId,
    owner: String,
    connection: PgConnection,
}

/// The id of a copied event. It differs from the original's because event ids are unique across tenants. It is derived, so a repetition
/// gives the same id, and it keeps the timestamp of the original (UUIDv7).
pub fn grafted_id(tenant: TenantId, event: Uuid) -> Uuid {
    let mut hasher = Sha256::new();
    hasher.update(b"inopsio.graft.1");
    hasher.update(tenant.uuid().as_bytes());
    hasher.update(event.as_bytes());
    let hash = hasher.finalize();
    let mut bytes = [0; 16];
    bytes[..6].copy_from_slice(&event.as_bytes()[..6]);
    bytes[6..].copy_from_slice(&hash[..10]);
    Builder::from_bytes(bytes).with_version(uuid::Version::SortRand).with_variant(uuid::Variant::RFC4122).into_uuid()
}

impl Graft {
    /// Begins a graft for `tenant`, which must be new. `admin` may act as the service's owner.
    pub async fn begin(admin: &PgConnectOptions, database: &Database, tenant: TenantId) -> Result<Self, Error> {
        let connection = admin::connect(&admin.clone().database(&database.name)).await?;
        Ok(Self { tenant, owner: database.owner(), connection })
    }

    /// Appends events in their order, with a new tenant, position, id and `recorded_at`; everything else is unchanged. `copying`: what
    /// sealed them, whose keys are stored with them. This is one transaction, during which other appends wait, so pass about a thousand
    /// events rather than a million. Returns the log's last position.
    pub async fn append(
        &mut self,
        events: Vec<RecordedEvent>,
        copying: Option<&mut Copying>,
        clock: &dyn Clock,
    ) -> Result<Position, Error> {
        let mut transaction = self.connection.begin().await?;
        let head = lock(&mut transaction, Some(&self.owner)).await?;
        // `recorded_at` never decreases within a log.
        let recorded_at = head.recorded_at.map_or(clock.now(), |last| last.max(clock.now()));
        let mut position = head.position;
        let rows: Vec<StoredEvent> = events
            .into_iter()
            .map(|event| {
                position = position.next();
                let event_id = grafted_id(self.tenant, event.event_id);
                let event = RecordedEvent { tenant: self.tenant, position, event_id, recorded_at, ..event };
                StoredEvent { leaf_hash: Leaf::from(&event).hash(), event }
            })
            .collect();
        extend(&mut transaction, &rows, recorded_at, Origin::CopyFor(self.tenant)).await?;
        if let Some(copying) = copying {
            for keys in copying.claims(&mut transaction).await?.chunks(CLAIMS) {
                write::claims(&mut transaction, keys).await?;
            }
        }
        transaction.commit().await?;
        Ok(position)
    }

    /// Takes the claims that result from the history, and ends the graft. Whoever was erased since their part was appended loses the key
    /// here, too; returns their number, because read models may already have applied what was appended of them.
    pub async fn finish(mut self, claims: &[StoredClaim], copying: Option<&Copying>) -> Result<usize, Error> {
        let mut transaction = self.connection.begin().await?;
        lock(&mut transaction, Some(&self.owner)).await?;
        let erased = match copying {
            Some(copying) => copying.erased(&mut transaction).await?,
            None => Vec::new(),
        };
        write::delete_claims(&mut transaction, self.tenant, PERSON_KEY, &erased).await?;
        for rows in claims.chunks(CLAIMS) {
            write::claims(&mut transaction, rows).await?;
        }
        transaction.commit().await?;
        self.connection.close().await?;
        Ok(erased.len())
    }

    /// Gives up a copy that was not completed, however far it got and whatever became of its `Graft`: closes the tenant as deleted, and
    /// deletes its claims, the keys among them. The rest is destroyed [as a deleted tenant's](crate::destroy). False: nothing was appended
    /// for the tenant as a copy, and nothing is done. A repetition changes nothing.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn give_up(admin: &PgConnectOptions, database: &Database, tenant: TenantId) -> Result<bool, Error> {
        let mut connection = admin::connect(&admin.clone().database(&database.name)).await?;
        connection.execute(format!("SET ROLE {}", database.owner()).as_str()).await?;
        let mut transaction = connection.begin().await?;
        // What the graft was about to append is there by now, or never will be.
        lock(&mut transaction, None).await?;
        if copied::copy_of(&mut transaction, tenant).await?.is_none() {
            return Ok(false);
        }
        sqlx::query("INSERT INTO log.closed (tenant_id, state, cell) VALUES ($1, $2, '') ON CONFLICT DO NOTHING")
            .bind(tenant.uuid())
            .bind(Closure::Deleted.as_str())
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        // Nobody takes any more of them, so nobody has to wait while they are deleted.
        let mut transaction = connection.begin().await?;
        write::delete_all_claims(&mut transaction, tenant).await?;
        transaction.commit().await?;
        connection.close().await?;
        Ok(true)
    }
}

/// Blocks all writers until the transaction ends, switches to the role `owner` (if given), and returns the end of the log.
pub(crate) async fn lock(transaction: &mut PgConnection, owner: Option<&str>) -> Result<Head, Error> {
    block_writers(transaction).await?;
    if let Some(owner) = owner {
        transaction.execute(format!("SET LOCAL ROLE {owner}").as_str()).await?;
    }
    head(transaction).await
}

/// Blocks all writers until the transaction ends. If this process hangs or disappears, the server ends the transaction after [`MAX_IDLE`].
/// Waiting for a row lock of another transaction is limited to the same time.
pub(crate) async fn block_writers(transaction: &mut PgConnection) -> Result<(), sqlx::Error> {
    let idle = MAX_IDLE.as_millis();
    transaction.execute(format!("SET LOCAL idle_in_transaction_session_timeout = '{idle}ms'").as_str()).await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LockKey::Writing.number()).execute(&mut *transaction).await?;
    transaction.execute(format!("SET LOCAL lock_timeout = '{idle}ms'").as_str()).await?;
    Ok(())
}

/// Writes events at the end of the log. The caller holds the writers' lock and passes the log's new last `recorded_at`.
pub(crate) async fn extend(
    transaction: &mut PgConnection,
    rows: &[StoredEvent],
    recorded_at: DateTime<Utc>,
    origin: Origin,
) -> Result<(), Error> {
    let Some(last) = rows.last().map(|row| row.event.position) else { return Ok(()) };
    write::events(&mut *transaction, rows).await?;
    sqlx::query("UPDATE log.head SET position = $1, recorded_at = $2")
        .bind(last.as_i64())
        .bind(recorded_at)
        .execute(&mut *transaction)
        .await?;
    copied::record(transaction, origin, last).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use kernel::{IdSource, SystemIds};

    use super::*;

    #[test]
    fn a_grafted_id_is_a_uuid_of_the_same_time_and_depends_on_tenant_and_event() {
        let (one, other) = (testbed::tenant(), testbed::tenant());
        let event = SystemIds.next();
        let id = grafted_id(one, event);
        assert_eq!(id, grafted_id(one, event));
        assert_eq!((id.get_version_num(), id.get_variant()), (7, uuid::Variant::RFC4122));
        assert_eq!(id.get_timestamp().map(|at| at.to_unix()), event.get_timestamp().map(|at| at.to_unix()));
        assert!(id != event && id != grafted_id(other, event) && id != grafted_id(one, SystemIds.next()));
    }
}
