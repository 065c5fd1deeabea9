//! Lists of organizations.

use folding::list::{Filter, Order, of_tenant};
use folding::paging::{KeyType, Keyset, Seek, SeekKey};
use kernel::TenantId;
use sqlx::{Postgres, QueryBuilder};
use user_aggregates::OrganizationId;

use super::row::OrganizationRow;

/// A filter of organizations; `None` means any. Closed ones never match.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OrganizationFilter {
    /// Children of this organization.
    pub parent: Option<OrganizationId>,
}

impl Filter for OrganizationFilter {
    type Row = OrganizationRow;
    type Order = ByName;

    fn push(&self, query: &mut QueryBuilder<'_, Postgres>, tenant: TenantId) {
        of_tenant(query, tenant).push(" AND NOT t.closed");
        if let Some(parent) = self.parent {
            query.push(" AND t.parent_id = ").push_bind(parent.uuid());
        }
    }
}

/// By name, in the order of code points.
#[derive(Clone, Copy, Debug)]
pub struct ByName;

impl Order<OrganizationRow> for ByName {
    fn keyset(self) -> Keyset {
        Keyset { column: "name", ty: KeyType::Text, id: "organization_id", descending: false }
    }

    fn seek(self, row: &OrganizationRow) -> Seek {
        Seek { key: SeekKey::Text(row.name.clone()), id: row.organization_id }
    }
}
