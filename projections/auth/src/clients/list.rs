//! Lists of applications.

use folding::paging::{KeyType, Keyset, ListError, Seek, SeekKey};
use folding::table::{self, select};
use kernel::TenantId;
use sqlx::{PgConnection, Postgres, QueryBuilder};
use uuid::Uuid;

use super::row::ClientRow;

/// Which applications; what is `None` does not matter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientFilter {
    /// Whether they may sign people in.
    pub active: Option<bool>,
}

const BY_NAME: Keyset = Keyset { column: "name", ty: KeyType::Text, id: "client_id", descending: false };

/// Where a page that ends with `row` ends.
pub fn seek(row: &ClientRow) -> Seek {
    Seek { key: SeekKey::Text(row.name.clone()), id: row.client_id }
}

/// At most `limit` applications after `after`, by name.
pub async fn list(
    tables: &mut PgConnection,
    tenant: TenantId,
    filter: &ClientFilter,
    after: Option<Seek>,
    limit: i64,
) -> Result<Vec<ClientRow>, ListError> {
    let mut query = QueryBuilder::new(select::<ClientRow>());
    filter.push(&mut query, tenant);
    BY_NAME.after(&mut query, after)?;
    BY_NAME.limit(&mut query, limit);
    Ok(query.build_query_as().fetch_all(tables).await?)
}

/// How many applications the filter lets through.
pub async fn count(tables: &mut PgConnection, tenant: TenantId, filter: &ClientFilter) -> Result<i64, sqlx::Error> {
    let mut query = QueryBuilder::new("SELECT count(*) FROM client t ");
    filter.push(&mut query, tenant);
    query.build_query_scalar().fetch_one(tables).await
}

/// These applications, in no order; unknown ids are left out.
pub async fn find(tables: &mut PgConnection, tenant: TenantId, ids: &[Uuid]) -> Result<Vec<ClientRow>, sqlx::Error> {
    let keys: Vec<_> = ids.iter().map(|id| (tenant.uuid(), *id)).collect();
    table::load(&keys, tables).await
}

impl ClientFilter {
    fn push(self, query: &mut QueryBuilder<'_, Postgres>, tenant: TenantId) {
        query.push("WHERE t.tenant_id = ").push_bind(tenant.uuid());
        if let Some(active) = self.active {
            query.push(" AND t.active = ").push_bind(active);
        }
    }
}
