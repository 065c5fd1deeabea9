//! [`Copied`]: which events were imported (restored, moved or copied), so that consumers do not act on them again.

use std::collections::{HashMap, HashSet};

use kernel::{Position, RecordedEvent, TenantId};
use sqlx::{PgConnection, PgPool, Row};
use uuid::Uuid;

use crate::Error;

/// The imported part of the histories of some tenants, and which of the tenants are closed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Tenants whose history up to a position is a copy of another tenant's.
    tenants: HashMap<Uuid, Position>,
    /// Tenants whose history up to a position was moved here from another cell.
    moved: HashMap<Uuid, Position>,
    /// The position up to which the whole log was restored from a backup.
    restored: Position,
    /// Tenants for which nothing may be written here.
    closed: HashSet<Uuid>,
    /// Tenants of which only the events are left here.
    gone: HashSet<Uuid>,
}

impl Copied {
    /// Whether an event is a copy of another tenant's event. Processes that the event started belong to the other tenant.
    pub fn is_of_another(&self, event: &RecordedEvent) -> bool {
        self.tenants.get(&event.tenant.uuid()).is_some_and(|to| event.position <= *to)
    }

    /// Whether an event was restored from a backup, or was moved here with its tenant: what it started exists already.
    pub fn is_restored(&self, event: &RecordedEvent) -> bool {
        event.position <= self.restored || self.moved.get(&event.tenant.uuid()).is_some_and(|to| event.position <= *to)
    }

    /// Whether the event's tenant is being moved to another cell or lives there: consumers act on the event in that cell.
    pub fn is_closed(&self, event: &RecordedEvent) -> bool {
        self.closed.contains(&event.tenant.uuid())
    }

    /// Whether the event's tenant is deleted, or a copy that was purged: only its events are left here, and no consumer acts on them.
    pub fn is_gone(&self, event: &RecordedEvent) -> bool {
        self.gone.contains(&event.tenant.uuid())
    }

    /// Loads this information for some tenants.
    pub(crate) async fn of(pool: &PgPool, tenants: &[Uuid]) -> Result<Self, Error> {
        let rows = sqlx::query(
            "SELECT tenant_id, position, moved, false AS gone FROM log.copied WHERE tenant_id = ANY($1)
             UNION ALL
             SELECT tenant_id, NULL, false, state = 'deleted' OR purged FROM log.closed
             WHERE tenant_id = ANY($1) AND until > clock_timestamp()",
        )
        .bind([tenants, &[Uuid::nil()]].concat())
        .fetch_all(pool)
        .await?;
        let mut copied = Self::default();
        for row in &rows {
            let id: Uuid = row.try_get("tenant_id")?;
            let Some(position) = row.try_get::<Option<i64>, _>("position")? else {
                copied.closed.insert(id);
                if row.try_get("gone")? {
                    copied.gone.insert(id);
                }
                continue;
            };
            let position = Position::from_i64(position);
            match row.try_get("moved")? {
                _ if id.is_nil() => copied.restored = position,
                true => _ = copied.moved.insert(id, position),
                false => _ = copied.tenants.insert(id, position),
            }
        }
        Ok(copied)
    }
}

/// The position up to which a tenant's history is a copy of another tenant's; `None`: it is not a copy.
pub(crate) async fn copy_of(connection: &mut PgConnection, tenant: TenantId) -> Result<Option<Position>, sqlx::Error> {
    let found: Option<i64> = sqlx::query_scalar("SELECT position FROM log.copied WHERE tenant_id = $1 AND NOT moved")
        .bind(tenant.uuid())
        .fetch_optional(connection)
        .await?;
    Ok(found.map(Position::from_i64))
}

/// The position up to which the whole log was restored from a backup; `None`: it was not restored.
pub(crate) async fn restored(connection: &mut PgConnection) -> Result<Option<Position>, sqlx::Error> {
    let found: Option<i64> = sqlx::query_scalar("SELECT position FROM log.copied WHERE tenant_id = $1")
        .bind(Uuid::nil())
        .fetch_optional(connection)
        .await?;
    Ok(found.map(Position::from_i64))
}

/// The origin of imported events.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Origin {
    /// A backup of the whole log.
    Backup,
    /// A copy of another tenant's history, for this tenant.
    CopyFor(TenantId),
    /// This tenant's own history, moved from another cell.
    MovedFor(TenantId),
}

/// Records the import of a history up to a position, in the transaction that imports it.
pub(crate) async fn record(connection: &mut PgConnection, origin: Origin, to: Position) -> Result<(), sqlx::Error> {
    let (tenant, moved) = match origin {
        Origin::Backup => (Uuid::nil(), false),
        Origin::CopyFor(tenant) => (tenant.uuid(), false),
        Origin::MovedFor(tenant) => (tenant.uuid(), true),
    };
    sqlx::query(
        "INSERT INTO log.copied (tenant_id, position, moved) VALUES ($1, $2, $3)
         ON CONFLICT (tenant_id, moved) DO UPDATE SET position = excluded.position",
    )
    .bind(tenant)
    .bind(to.as_i64())
    .bind(moved)
    .execute(connection)
    .await?;
    Ok(())
}
