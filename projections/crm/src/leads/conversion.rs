//! The leads that were converted into a contact.

use kernel::TenantId;
use sqlx::PgConnection;
use uuid::Uuid;

/// The leads that were converted into this contact, including erased ones, in the order of their ids.
pub async fn converted_into(
    tables: &mut PgConnection,
    tenant: TenantId,
    contact: Uuid,
) -> Result<Vec<Uuid>, sqlx::Error> {
    // No index, because it would slow down every conversion, and only erasures need it. This scans the tenant's leads once.
    sqlx::query_scalar("SELECT lead_id FROM lead WHERE tenant_id = $1 AND contact_id = $2 ORDER BY lead_id")
        .bind(tenant.uuid())
        .bind(contact)
        .fetch_all(tables)
        .await
}
