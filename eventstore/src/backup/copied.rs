//! What was brought in from elsewhere, and is not to be acted on.

use std::collections::HashMap;

use kernel::{Position, RecordedEvent, TenantId};
use sqlx::{PgConnection, PgPool, Row};
use uuid::Uuid;

use crate::Error;

/// Up to where history was brought in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Of these tenants, from others.
    tenants: HashMap<Uuid, Position>,
    /// Of all, from a backup.
    restored: Position,
}

impl Copied {
    /// Whether an event is a copy of one of another tenant: nothing that begins or goes on there is this tenant's.
    pub fn is_of_another(&self, event: &RecordedEvent) -> bool {
        self.tenants.get(&event.tenant.uuid()).is_some_and(|to| event.position <= *to)
    }

    /// Whether an event was restored: what it had begun is there already.
    pub fn is_restored(&self, event: &RecordedEvent) -> bool {
        event.position <= self.restored
    }

    /// What there is of these tenants.
    pub(crate) async fn of(pool: &PgPool, tenants: &[Uuid]) -> Result<Self, Error> {
        let rows = sqlx::query("SELECT tenant_id, position FROM log.copied WHERE tenant_id = ANY($1)")
            .bind([tenants, &[Uuid::nil()]].concat())
            .fetch_all(pool)
            .await?;
        let mut copied = Self::default();
        for row in &rows {
            let position = Position::from_i64(row.try_get("position")?);
            match row.try_get::<Uuid, _>("tenant_id")? {
                id if id.is_nil() => copied.restored = position,
                id => _ = copied.tenants.insert(id, position),
            }
        }
        Ok(copied)
    }
}

/// Notes it, in the transaction that brings it in; none: of all.
pub(super) async fn note(
    connection: &mut PgConnection,
    tenant: Option<TenantId>,
    to: Position,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO log.copied (tenant_id, position) VALUES ($1, $2)
         ON CONFLICT (tenant_id) DO UPDATE SET position = excluded.position",
    )
    .bind(tenant.map_or(Uuid::nil(), TenantId::uuid))
    .bind(to.as_i64())
    .execute(connection)
    .await?;
    Ok(())
}
