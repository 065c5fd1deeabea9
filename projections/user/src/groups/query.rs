//! The groups of a tenant, now and at any time.

use folding::as_of::AsOf;
use folding::list::{self, Filter, Order, of_tenant};
use folding::paging::{KeyType, Keyset, Seek, SeekKey};
use folding::table::select;
use kernel::{TenantId, composed};
use sqlx::{PgConnection, Postgres, QueryBuilder};
use uuid::Uuid;

use super::row::{GroupHistoryRow, GroupRow};

/// Which groups; what is `None` does not matter. Dissolved ones are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupFilter {
    /// With this very name.
    pub name: Option<String>,
    /// With this name, in whatever case of the letters a-z. (No index: whoever asks for it has looked at the first thousand groups before.)
    pub alike: Option<String>,
    /// Which an identity provider knows by this id.
    pub external_id: Option<String>,
}

impl Filter for GroupFilter {
    type Row = GroupRow;
    type Order = ByName;

    fn push(&self, query: &mut QueryBuilder<'_, Postgres>, tenant: TenantId) {
        of_tenant(query, tenant).push(" AND NOT t.dissolved");
        if let Some(name) = self.name.clone() {
            query.push(" AND t.name = ").push_bind(composed(&name).into_owned());
        }
        if let Some(name) = self.alike.clone() {
            query.push(" AND lower(t.name) = lower(").push_bind(composed(&name).into_owned()).push(")");
        }
        if let Some(external_id) = self.external_id.clone() {
            query.push(" AND t.external_id = ").push_bind(external_id);
        }
    }
}

/// By name, in the order of code points.
#[derive(Clone, Copy, Debug)]
pub struct ByName;

impl Order<GroupRow> for ByName {
    fn keyset(self) -> Keyset {
        Keyset { column: "name", ty: KeyType::Text, id: "group_id", descending: false }
    }

    fn seek(self, row: &GroupRow) -> Seek {
        Seek { key: SeekKey::Text(row.name.clone()), id: row.group_id }
    }
}

/// These groups, in no order; unknown ids are left out.
pub async fn find(tables: &mut PgConnection, tenant: TenantId, ids: &[Uuid]) -> Result<Vec<GroupRow>, sqlx::Error> {
    list::find(tables, tenant, ids).await
}

/// The roles that these groups gave as of a moment.
pub async fn standings(
    tables: &mut PgConnection,
    tenant: TenantId,
    groups: &[Uuid],
    as_of: AsOf,
) -> Result<Vec<GroupHistoryRow>, sqlx::Error> {
    // Group by group along the primary key: each has few versions. OFFSET 0 keeps the planner from turning this round.
    let sql = format!(
        "SELECT s.* FROM UNNEST($4::uuid[]) AS g (id) CROSS JOIN LATERAL (
             {} WHERE t.tenant_id = $1 AND t.group_id = g.id AND {} OFFSET 0
         ) s",
        select::<GroupHistoryRow>(),
        as_of.condition()
    );
    let query = sqlx::query_as(&sql).bind(tenant.uuid()).bind(as_of.at).bind(as_of.known);
    query.bind(groups).fetch_all(tables).await
}
