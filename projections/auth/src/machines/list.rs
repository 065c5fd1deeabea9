//! Lists of machines.

use folding::list::{Filter, Order, of_tenant};
use folding::paging::{KeyType, Keyset, Seek, SeekKey};
use kernel::TenantId;
use sqlx::{PgConnection, Postgres, QueryBuilder};
use uuid::Uuid;

use super::row::MachineRow;

/// A filter of machines; `None` means any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MachineFilter {
    /// Whether the machine is active, so that it can get tokens.
    pub active: Option<bool>,
}

/// By name, in the order of code points.
#[derive(Clone, Copy, Debug)]
pub struct ByName;

impl Order<MachineRow> for ByName {
    fn keyset(self) -> Keyset {
        Keyset { column: "name", ty: KeyType::Text, id: "machine_id", descending: false }
    }

    fn seek(self, row: &MachineRow) -> Seek {
        Seek { key: SeekKey::Text(row.name.clone()), id: row.machine_id }
    }
}

/// At most `limit` ids of machines after `after`, in order.
pub async fn ids(
    tables: &mut PgConnection,
    tenant: TenantId,
    after: Uuid,
    limit: i64,
) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT machine_id FROM machine WHERE tenant_id = $1 AND machine_id > $2 ORDER BY machine_id LIMIT $3",
    )
    .bind(tenant.uuid())
    .bind(after)
    .bind(limit)
    .fetch_all(tables)
    .await
}

impl Filter for MachineFilter {
    type Row = MachineRow;
    type Order = ByName;

    fn push(&self, query: &mut QueryBuilder<'_, Postgres>, tenant: TenantId) {
        of_tenant(query, tenant);
        if let Some(active) = self.active {
            query.push(" AND t.active = ").push_bind(active);
        }
    }
}
