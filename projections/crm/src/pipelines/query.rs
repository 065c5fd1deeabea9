//! Which pipelines there are, and how one was.

use kernel::TenantId;
use sqlx::PgConnection;
use uuid::Uuid;

use super::row::PipelineRow;
use folding::as_of::AsOf;
use folding::table::{load_where, select};

/// All pipelines as they are today, by name. A tenant has few.
pub async fn list(tables: &mut PgConnection, tenant: TenantId) -> Result<Vec<PipelineRow>, sqlx::Error> {
    let sql = format!(
        "{} WHERE t.tenant_id = $1 AND t.known_to = 'infinity' ORDER BY t.name, t.pipeline_id",
        select::<PipelineRow>()
    );
    sqlx::query_as(&sql).bind(tenant.uuid()).fetch_all(tables).await
}

/// These pipelines as they are today, in no order; unknown ids are left out.
pub async fn find(tables: &mut PgConnection, tenant: TenantId, ids: &[Uuid]) -> Result<Vec<PipelineRow>, sqlx::Error> {
    let keys: Vec<_> = ids.iter().map(|id| (tenant.uuid(), *id)).collect();
    load_where(&keys, "AND t.known_to = 'infinity'", tables).await
}

/// A pipeline as of a moment; as it was first, if the moment is before that. `None`: there is no such pipeline.
pub async fn as_of(
    tables: &mut PgConnection,
    tenant: TenantId,
    pipeline: Uuid,
    as_of: AsOf,
) -> Result<Option<PipelineRow>, sqlx::Error> {
    // The first version is the one with the lowest number: one that was discarded after it has given it its own.
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

/// Every version of a pipeline, first to last.
pub(crate) async fn versions(
    tables: &mut PgConnection,
    tenant: TenantId,
    pipeline: Uuid,
) -> Result<Vec<PipelineRow>, sqlx::Error> {
    let sql = format!("{} WHERE t.tenant_id = $1 AND t.pipeline_id = $2 ORDER BY t.version", select::<PipelineRow>());
    sqlx::query_as(&sql).bind(tenant.uuid()).bind(pipeline).fetch_all(tables).await
}
