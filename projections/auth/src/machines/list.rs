//! Lists of machines.

use folding::paging::{KeyType, Keyset, ListError, Seek, SeekKey};
use folding::table::{self, select};
use kernel::TenantId;
use sqlx::{PgConnection, Postgres, QueryBuilder};
use uuid::Uuid;

use super::row::MachineRow;

/// Which machines; what is `None` does not matter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MachineFilter {
    /// Whether they may have tokens.
    pub active: Option<bool>,
}

const BY_NAME: Keyset = Keyset { column: "name", ty: KeyType::Text, id: "machine_id", descending: false };

/// Where a page that ends with `row` ends.
pub fn seek(row: &MachineRow) -> Seek {
    Seek { key: SeekKey::Text(row.name.clone()), id: row.machine_id }
}

/// At most `limit` machines after `after`, by name.
pub async fn list(
    tables: &mut PgConnection,
    tenant: TenantId,
    filter: &MachineFilter,
    after: Option<Seek>,
    limit: i64,
) -> Result<Vec<MachineRow>, ListError> {
    let mut query = QueryBuilder::new(select::<MachineRow>());
    filter.push(&mut query, tenant);
    BY_NAME.after(&mut query, after)?;
    BY_NAME.limit(&mut query, limit);
    Ok(query.build_query_as().fetch_all(tables).await?)
}

/// How many machines the filter lets through.
pub async fn count(tables: &mut PgConnection, tenant: TenantId, filter: &MachineFilter) -> Result<i64, sqlx::Error> {
    let mut query = QueryBuilder::new("SELECT count(*) FROM machine t ");
    filter.push(&mut query, tenant);
    query.build_query_scalar().fetch_one(tables).await
}

/// These machines, in no order; unknown ids are left out.
pub async fn find(tables: &mut PgConnection, tenant: TenantId, ids: &[Uuid]) -> Result<Vec<MachineRow>, sqlx::Error> {
    let keys: Vec<_> = ids.iter().map(|id| (tenant.uuid(), *id)).collect();
    table::load(&keys, tables).await
}

/// The ids of all machines, in their order, after this one.
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

impl MachineFilter {
    fn push(self, query: &mut QueryBuilder<'_, Postgres>, tenant: TenantId) {
        query.push("WHERE t.tenant_id = ").push_bind(tenant.uuid());
        if let Some(active) = self.active {
            query.push(" AND t.active = ").push_bind(active);
        }
    }
}
