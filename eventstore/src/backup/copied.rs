//! What was brought in from elsewhere, and is not to be acted on.

use std::collections::{HashMap, HashSet};

use kernel::{Position, RecordedEvent, TenantId};
use sqlx::{PgConnection, PgPool, Row};
use uuid::Uuid;

use crate::Error;

/// Up to where history was brought in, and who is closed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Of these tenants, from others.
    tenants: HashMap<Uuid, Position>,
    /// Of these tenants, their own, from another cell.
    moved: HashMap<Uuid, Position>,
    /// Of all, from a backup.
    restored: Position,
    /// For these nothing may be written here.
    closed: HashSet<Uuid>,
    /// Of these there is nothing here but history.
    gone: HashSet<Uuid>,
}

impl Copied {
    /// Whether an event is a copy of one of another tenant: nothing that begins or goes on there is this tenant's.
    pub fn is_of_another(&self, event: &RecordedEvent) -> bool {
        self.tenants.get(&event.tenant.uuid()).is_some_and(|to| event.position <= *to)
    }

    /// Whether an event was restored, or came with its tenant from another cell: what it had begun is there already.
    pub fn is_restored(&self, event: &RecordedEvent) -> bool {
        event.position <= self.restored || self.moved.get(&event.tenant.uuid()).is_some_and(|to| event.position <= *to)
    }

    /// Whether the event's tenant is on its way to another cell or lives there: what it begins, it begins there.
    pub fn is_closed(&self, event: &RecordedEvent) -> bool {
        self.closed.contains(&event.tenant.uuid())
    }

    /// Whether the event's tenant is deleted, or a copy that was purged: there is nothing of it here but history, and nothing is made
    /// of that.
    pub fn is_gone(&self, event: &RecordedEvent) -> bool {
        self.gone.contains(&event.tenant.uuid())
    }

    /// What there is of these tenants.
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

/// Up to where a tenant's history is a copy of another's; none: it is its own.
pub(crate) async fn copy_of(connection: &mut PgConnection, tenant: TenantId) -> Result<Option<Position>, sqlx::Error> {
    let found: Option<i64> = sqlx::query_scalar("SELECT position FROM log.copied WHERE tenant_id = $1 AND NOT moved")
        .bind(tenant.uuid())
        .fetch_optional(connection)
        .await?;
    Ok(found.map(Position::from_i64))
}

/// Whose history is brought in.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Whose {
    /// All of a backup.
    Everybodys,
    /// Another tenant's, for this one.
    CopyFor(TenantId),
    /// This one's own, from another cell.
    Own(TenantId),
}

/// Notes it, in the transaction that brings it in.
pub(crate) async fn note(connection: &mut PgConnection, whose: Whose, to: Position) -> Result<(), sqlx::Error> {
    let (tenant, moved) = match whose {
        Whose::Everybodys => (Uuid::nil(), false),
        Whose::CopyFor(tenant) => (tenant.uuid(), false),
        Whose::Own(tenant) => (tenant.uuid(), true),
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
