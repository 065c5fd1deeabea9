//! Queries of pipelines, now and as of any time.

use kernel::TenantId;
use sqlx::PgConnection;
use uuid::Uuid;

use super::row::PipelineRow;
use folding::as_of::AsOf;
use folding::table::select;

/// The current version of all pipelines of a tenant, by name. A tenant has few.
pub async fn list(tables: &mut PgConnection, tenant: TenantId) -> Result<Vec<PipelineRow>, sqlx::Error> {
    let sql = format!(
        "{} WHERE t.tenant_id = $1 AND t.known_to = 'infinity' ORDER BY t.name, t.pipeline_id",
        select::<PipelineRow>()
    );
    sqlx::query_as(&sql).bind(tenant.uuid()).fetch_all(tables).await
}

/// The current version of these pipelines, in no particular order, without unknown ids.
pub async fn find(tables: &mut PgConnection, tenant: TenantId, ids: &[Uuid]) -> Result<Vec<PipelineRow>, sqlx::Error> {
    folding::list::find(tables, tenant, ids).await
}

/// The version of a pipeline as of a moment, or its first version if the moment is earlier. `None` if there is no such pipeline.
pub async fn as_of(
    tables: &mut PgConnection,
    tenant: TenantId,
    pipeline: Uuid,
    as_of: AsOf,
) -> Result<Option<PipelineRow>, sqlx::Error> {
    // The first version is the one with the lowest number, which is not always 1: a discarded event passes its version on to the row
    // before it.
    let sql = format!(
        "{} WHERE t.tenant_id = $1 AND t.pipeline_id = $4 ORDER BY ({}) DESC, t.version LIMIT 1",
        select::<PipelineRow>(),
        as_of.condition()
    );
    sqlx::query_as(&sql)
        .bind(tenant.uuid())
        .bind(as_of.at)
        .bind(as_of.known)
        .bind(pipeline)
        .fetch_optional(tables)
        .await
}

/// All versions of a pipeline, in order.
pub(crate) async fn versions(
    tables: &mut PgConnection,
    tenant: TenantId,
    pipeline: Uuid,
) -> Result<Vec<PipelineRow>, sqlx::Error> {
    let sql = format!("{} WHERE t.tenant_id = $1 AND t.pipeline_id = $2 ORDER BY t.version", select::<PipelineRow>());
    sqlx::query_as(&sql).bind(tenant.uuid()).bind(pipeline).fetch_all(tables).await
}
