//! Lists of API keys.

use folding::table::select;
use kernel::TenantId;
use sqlx::PgConnection;
use uuid::Uuid;

use super::row::ApiKeyRow;

/// The keys of a machine, at most `limit` of those issued before the one with the id `after`; newest first.
pub async fn of_machine(
    tables: &mut PgConnection,
    tenant: TenantId,
    machine: Uuid,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<ApiKeyRow>, sqlx::Error> {
    // Ids are UUIDv7: in the order in which they were made.
    let sql = format!(
        "{} WHERE t.tenant_id = $1 AND t.machine_id = $2 AND ($3::uuid IS NULL OR t.api_key_id < $3)
         ORDER BY t.api_key_id DESC LIMIT $4",
        select::<ApiKeyRow>()
    );
    sqlx::query_as(&sql).bind(tenant.uuid()).bind(machine).bind(after).bind(limit).fetch_all(tables).await
}

/// How many keys a machine has, revoked ones included.
pub async fn count(tables: &mut PgConnection, tenant: TenantId, machine: &Uuid) -> Result<i64, sqlx::Error> {
    let sql = "SELECT count(*) FROM api_key WHERE tenant_id = $1 AND machine_id = $2";
    sqlx::query_scalar(sql).bind(tenant.uuid()).bind(machine).fetch_one(tables).await
}
