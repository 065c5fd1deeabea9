//! The roles of a tenant, now and at any time.

use chrono::{DateTime, Utc};
use folding::as_of::AsOf;
use folding::table::select;
use kernel::TenantId;
use sqlx::PgConnection;

use super::row::{RoleHistoryRow, RoleRow};

/// A tenant's roles, by name; retired ones too.
pub async fn list(tables: &mut PgConnection, tenant: TenantId) -> Result<Vec<RoleRow>, sqlx::Error> {
    // A tenant has tens of roles: sorted when read.
    let sql = format!("{} WHERE t.tenant_id = $1 ORDER BY t.name", select::<RoleRow>());
    sqlx::query_as(&sql).bind(tenant.uuid()).fetch_all(tables).await
}

/// What a tenant's roles allowed as of a moment.
pub async fn standings(
    tables: &mut PgConnection,
    tenant: TenantId,
    as_of: AsOf,
) -> Result<Vec<RoleHistoryRow>, sqlx::Error> {
    let sql = format!("{} WHERE t.tenant_id = $1 AND {}", select::<RoleHistoryRow>(), as_of.condition());
    sqlx::query_as(&sql).bind(tenant.uuid()).bind(as_of.at).bind(as_of.known).fetch_all(tables).await
}

/// What a tenant's roles allowed at some time between two, as the log knew it; without an end: until now.
pub async fn during(
    tables: &mut PgConnection,
    tenant: TenantId,
    (from, until): (DateTime<Utc>, Option<DateTime<Utc>>),
) -> Result<Vec<RoleHistoryRow>, sqlx::Error> {
    // A tenant has tens of roles: all of their versions, along the primary key.
    let sql = format!(
        "{} WHERE t.tenant_id = $1 AND t.known_to >= $2 AND ($3::timestamptz IS NULL OR t.known_from < $3)",
        select::<RoleHistoryRow>()
    );
    sqlx::query_as(&sql).bind(tenant.uuid()).bind(from).bind(until).fetch_all(tables).await
}
