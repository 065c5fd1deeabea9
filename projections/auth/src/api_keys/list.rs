//! Lists of API keys.

use folding::table::select;
use kernel::TenantId;
use projector::distribute;
use sqlx::PgConnection;
use uuid::Uuid;

use super::row::ApiKeyRow;

/// The keys of machines, newest first; for each machine those issued before the key with the given id, and at most the given number.
pub async fn of_machines(
    tables: &mut PgConnection,
    tenant: TenantId,
    asked: &[(Uuid, Option<Uuid>, i64)],
) -> Result<Vec<Vec<ApiKeyRow>>, sqlx::Error> {
    // Ids are UUIDv7, so they are in the order of creation.
    let sql = format!(
        "SELECT a.nth, k.*
         FROM UNNEST($2::uuid[], $3::uuid[], $4::bigint[]) WITH ORDINALITY AS a (machine_id, before, most, nth)
         CROSS JOIN LATERAL (
             {} WHERE t.tenant_id = $1 AND t.machine_id = a.machine_id AND (a.before IS NULL OR t.api_key_id < a.before)
             ORDER BY t.api_key_id DESC LIMIT a.most
         ) k
         ORDER BY a.nth, k.api_key_id DESC",
        select::<ApiKeyRow>()
    );
    let query = sqlx::query(&sql)
        .bind(tenant.uuid())
        .bind(asked.iter().map(|(machine, ..)| *machine).collect::<Vec<_>>())
        .bind(asked.iter().map(|(_, before, _)| *before).collect::<Vec<_>>())
        .bind(asked.iter().map(|(.., most)| *most).collect::<Vec<_>>());
    distribute(&query.fetch_all(tables).await?, asked.len())
}

/// The number of keys of these machines, including revoked ones, without machines that have none.
pub async fn counts(
    tables: &mut PgConnection,
    tenant: TenantId,
    machines: &[Uuid],
) -> Result<Vec<(Uuid, i64)>, sqlx::Error> {
    let sql =
        "SELECT machine_id, count(*) FROM api_key WHERE tenant_id = $1 AND machine_id = ANY ($2) GROUP BY machine_id";
    sqlx::query_as(sql).bind(tenant.uuid()).bind(machines).fetch_all(tables).await
}
