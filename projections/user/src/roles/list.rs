//! Queries of roles, now and as of any time.

use chrono::{DateTime, Utc};
use folding::as_of::AsOf;
use folding::table::select;
use kernel::TenantId;
use sqlx::PgConnection;

use super::row::{RoleHistoryRow, RoleRow};

/// A tenant's roles by name, including retired ones.
pub async fn list(tables: &mut PgConnection, tenant: TenantId) -> Result<Vec<RoleRow>, sqlx::Error> {
    // Sorted without an index, because a tenant has only tens of roles.
    let sql = format!("{} WHERE t.tenant_id = $1 ORDER BY t.name", select::<RoleRow>());
    sqlx::query_as(&sql).bind(tenant.uuid()).fetch_all(tables).await
}

/// The versions of a tenant's roles as of a moment.
pub async fn versions_as_of(
    tables: &mut PgConnection,
    tenant: TenantId,
    as_of: AsOf,
) -> Result<Vec<RoleHistoryRow>, sqlx::Error> {
    let sql = format!("{} WHERE t.tenant_id = $1 AND {}", select::<RoleHistoryRow>(), as_of.condition());
    sqlx::query_as(&sql).bind(tenant.uuid()).bind(as_of.at).bind(as_of.known).fetch_all(tables).await
}

/// The versions of a tenant's roles that the log knew at some time between `from` and `until`; `None` for now.
pub async fn during(
    tables: &mut PgConnection,
    tenant: TenantId,
    (from, until): (DateTime<Utc>, Option<DateTime<Utc>>),
) -> Result<Vec<RoleHistoryRow>, sqlx::Error> {
    // Reads all versions by the primary key, because a tenant has only tens of roles.
    let sql = format!(
        "{} WHERE t.tenant_id = $1 AND t.known_to >= $2 AND ($3::timestamptz IS NULL OR t.known_from < $3)",
        select::<RoleHistoryRow>()
    );
    sqlx::query_as(&sql).bind(tenant.uuid()).bind(from).bind(until).fetch_all(tables).await
}
