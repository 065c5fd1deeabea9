//! The list of domains.

use folding::list::{Filter, Order, of_tenant};
use folding::paging::{KeyType, Keyset, Seek, SeekKey};
use kernel::TenantId;
use sqlx::{Postgres, QueryBuilder};

use super::row::DomainRow;

/// The filter of domains: those that were not released.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DomainFilter;

impl Filter for DomainFilter {
    type Row = DomainRow;
    type Order = ByName;

    fn push(&self, query: &mut QueryBuilder<'_, Postgres>, tenant: TenantId) {
        of_tenant(query, tenant).push(" AND NOT t.released");
    }
}

/// By name.
#[derive(Clone, Copy, Debug)]
pub struct ByName;

impl Order<DomainRow> for ByName {
    fn keyset(self) -> Keyset {
        Keyset { column: "domain", ty: KeyType::Text, id: "domain_id", descending: false }
    }

    fn seek(self, row: &DomainRow) -> Seek {
        Seek { key: SeekKey::Text(row.domain.clone()), id: row.domain_id }
    }
}
