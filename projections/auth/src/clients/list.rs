//! Lists of applications.

use folding::list::{Filter, Order, of_tenant};
use folding::paging::{KeyType, Keyset, Seek, SeekKey};
use kernel::TenantId;
use sqlx::{Postgres, QueryBuilder};

use super::row::ClientRow;

/// A filter of applications; `None` means any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientFilter {
    /// Whether the application is active, so that users can sign in with it.
    pub active: Option<bool>,
}

/// By name, in the order of code points.
#[derive(Clone, Copy, Debug)]
pub struct ByName;

impl Order<ClientRow> for ByName {
    fn keyset(self) -> Keyset {
        Keyset { column: "name", ty: KeyType::Text, id: "client_id", descending: false }
    }

    fn seek(self, row: &ClientRow) -> Seek {
        Seek { key: SeekKey::Text(row.name.clone()), id: row.client_id }
    }
}

impl Filter for ClientFilter {
    type Row = ClientRow;
    type Order = ByName;

    fn push(&self, query: &mut QueryBuilder<'_, Postgres>, tenant: TenantId) {
        of_tenant(query, tenant);
        if let Some(active) = self.active {
            query.push(" AND t.active = ").push_bind(active);
        }
    }
}
