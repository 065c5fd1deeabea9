//! Leads as of any time.

use kernel::TenantId;
use sqlx::PgConnection;
use uuid::Uuid;

use super::row::LeadHistoryRow;
use folding::as_of::AsOf;
use folding::table::select;

/// The version of a lead as of a moment; `None` if the lead did not exist or was not known then.
pub async fn version_as_of(
    tables: &mut PgConnection,
    tenant: TenantId,
    lead: Uuid,
    as_of: AsOf,
) -> Result<Option<LeadHistoryRow>, sqlx::Error> {
    let sql =
        format!("{} WHERE t.tenant_id = $1 AND {} AND t.lead_id = $4", select::<LeadHistoryRow>(), as_of.condition());
    sqlx::query_as(&sql).bind(tenant.uuid()).bind(as_of.at).bind(as_of.known).bind(lead).fetch_optional(tables).await
}
