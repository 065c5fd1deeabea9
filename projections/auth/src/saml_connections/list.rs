//! Lists of SAML connections.

use folding::table::select;
use kernel::TenantId;
use sqlx::PgConnection;
use uuid::Uuid;

use super::row::SamlConnectionRow;

/// At most `limit` connections of a tenant that were created after the one with the id `after`, oldest first.
pub async fn list(
    tables: &mut PgConnection,
    tenant: TenantId,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<SamlConnectionRow>, sqlx::Error> {
    let sql = format!(
        "{} WHERE t.tenant_id = $1 AND ($2::uuid IS NULL OR t.connection_id > $2) ORDER BY t.connection_id LIMIT $3",
        select::<SamlConnectionRow>()
    );
    sqlx::query_as(&sql).bind(tenant.uuid()).bind(after).bind(limit).fetch_all(tables).await
}

/// The number of a tenant's connections.
pub async fn count(tables: &mut PgConnection, tenant: TenantId, (): &()) -> Result<i64, sqlx::Error> {
    let sql = "SELECT count(*) FROM saml_connection WHERE tenant_id = $1";
    sqlx::query_scalar(sql).bind(tenant.uuid()).fetch_one(tables).await
}

/// Whether a tenant has an active connection.
pub async fn any_active(tables: &mut PgConnection, tenant: TenantId) -> Result<bool, sqlx::Error> {
    let sql = "SELECT EXISTS (SELECT FROM saml_connection WHERE tenant_id = $1 AND active)";
    sqlx::query_scalar(sql).bind(tenant.uuid()).fetch_one(tables).await
}

/// The active connection of an e-mail domain, which must be in lower case.
pub async fn of_domain(tables: &mut PgConnection, tenant: TenantId, domain: &str) -> Result<Option<Uuid>, sqlx::Error> {
    // Scans the tenant's connections, because it has only a few.
    let sql = "SELECT connection_id FROM saml_connection
               WHERE tenant_id = $1 AND active AND domains ? $2
               ORDER BY connection_id LIMIT 1";
    sqlx::query_scalar(sql).bind(tenant.uuid()).bind(domain).fetch_optional(tables).await
}
