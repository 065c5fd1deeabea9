//! Queries of groups, now and as of any time.

use folding::as_of::AsOf;
use folding::history;
use folding::list::{self, Filter, Order, of_tenant};
use folding::paging::{KeyType, Keyset, Seek, SeekKey};
use folding::table::select;
use kernel::{TenantId, composed};
use sqlx::{PgConnection, Postgres, QueryBuilder};
use uuid::Uuid;

use super::row::{GroupHistoryRow, GroupRow};

/// A filter of groups; `None` means any. Dissolved groups never match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupFilter {
    /// Groups with exactly this name.
    pub name: Option<String>,
    /// Groups with this name, ignoring the case of the letters a-z. There is no index; callers use it only after they have looked at the
    /// first thousand groups.
    pub alike: Option<String>,
    /// Groups with this id of an identity provider.
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

/// These groups, in no particular order, without unknown ids.
pub async fn find(tables: &mut PgConnection, tenant: TenantId, ids: &[Uuid]) -> Result<Vec<GroupRow>, sqlx::Error> {
    list::find(tables, tenant, ids).await
}

/// At most `limit` groups after the first `skipped`, by name. The skipped ones are read, too, in the index of names.
pub async fn page(
    tables: &mut PgConnection,
    tenant: TenantId,
    skipped: i64,
    limit: i64,
) -> Result<Vec<GroupRow>, sqlx::Error> {
    let mut query = QueryBuilder::new(select::<GroupRow>());
    GroupFilter::default().push(&mut query, tenant);
    query.push(" ORDER BY t.name, t.group_id OFFSET ").push_bind(skipped).push(" LIMIT ").push_bind(limit);
    // Not persistent, so that each page is planned by itself: a generic plan sorts all groups.
    query.build_query_as().persistent(false).fetch_all(tables).await
}

/// The versions of these groups as of a moment.
pub async fn versions_as_of(
    tables: &mut PgConnection,
    tenant: TenantId,
    groups: &[Uuid],
    as_of: AsOf,
) -> Result<Vec<GroupHistoryRow>, sqlx::Error> {
    history::versions_as_of(tables, tenant, groups, as_of).await
}
