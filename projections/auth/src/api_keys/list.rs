//! Lists of API keys.

use folding::table::select;
use kernel::TenantId;
use sqlx::PgConnection;
use uuid::Uuid;

use super::row::ApiKeyRow;

/// The newest keys of a machine, at most `limit`; newest first.
pub async fn of_machine(
    tables: &mut PgConnection,
    tenant: TenantId,
    machine: Uuid,
    limit: i64,
) -> Result<Vec<ApiKeyRow>, sqlx::Error> {
    // Ids are UUIDv7: in the order in which they were made.
    let sql = format!(
        "{} WHERE t.tenant_id = $1 AND t.machine_id = $2 ORDER BY t.api_key_id DESC LIMIT $3",
        select::<ApiKeyRow>()
    );
    sqlx::query_as(&sql).bind(tenant.uuid()).bind(machine).bind(limit).fetch_all(tables).await
}
