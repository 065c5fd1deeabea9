//! Searching the directory of accounts.

use kernel::TenantId;
use sqlx::{PgConnection, Postgres, QueryBuilder};
use uuid::Uuid;

use super::row::AccountRow;
use folding::paging::{KeyType, Keyset, ListError, Seek, SeekKey};
use folding::table::{self, select};
use folding::words;

/// Which accounts; what is `None` does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountFilter {
    /// Each of these words begins a word of name or web address.
    pub search: Option<String>,
    /// Branch of business, exactly so.
    pub industry: Option<String>,
    /// ISO 3166-1 alpha-2.
    pub country: Option<String>,
    /// The user responsible.
    pub owner: Option<String>,
}

/// In which order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccountOrder {
    /// By name, in the order of code points.
    #[default]
    Name,
    /// Last created first.
    Newest,
}

impl AccountOrder {
    /// Where a page that ends with `row` ends.
    pub fn seek(self, row: &AccountRow) -> Seek {
        let key = match self {
            Self::Name => SeekKey::Text(row.name.clone()),
            Self::Newest => SeekKey::Time(row.created_at),
        };
        Seek { key, id: row.account_id }
    }

    fn keyset(self) -> Keyset {
        let (column, ty, descending) = match self {
            Self::Name => ("name", KeyType::Text, false),
            Self::Newest => ("created_at", KeyType::Time, true),
        };
        Keyset { column, ty, id: "account_id", descending }
    }
}

/// At most `limit` accounts after `after`.
pub async fn list(
    tables: &mut PgConnection,
    tenant: TenantId,
    filter: &AccountFilter,
    order: AccountOrder,
    after: Option<Seek>,
    limit: i64,
) -> Result<Vec<AccountRow>, ListError> {
    let mut query = QueryBuilder::new(select::<AccountRow>());
    filter.push(&mut query, tenant);
    order.keyset().after(&mut query, after)?;
    order.keyset().limit(&mut query, limit);
    Ok(query.build_query_as().fetch_all(tables).await?)
}

/// How many accounts the filter lets through.
pub async fn count(tables: &mut PgConnection, tenant: TenantId, filter: &AccountFilter) -> Result<i64, sqlx::Error> {
    let mut query = QueryBuilder::new("SELECT count(*) FROM account t ");
    filter.push(&mut query, tenant);
    query.build_query_scalar().fetch_one(tables).await
}

/// These accounts, in no order; unknown ids are left out.
pub async fn find(tables: &mut PgConnection, tenant: TenantId, ids: &[Uuid]) -> Result<Vec<AccountRow>, sqlx::Error> {
    let keys: Vec<_> = ids.iter().map(|id| (tenant.uuid(), *id)).collect();
    table::load(&keys, tables).await
}

impl AccountFilter {
    fn push(&self, query: &mut QueryBuilder<'_, Postgres>, tenant: TenantId) {
        let Self { search, industry, country, owner } = self.clone();
        query.push("WHERE t.tenant_id = ").push_bind(tenant.uuid());
        if let Some(search) = search {
            words::matching::<AccountRow>(query, tenant.uuid(), &search);
        }
        if let Some(industry) = industry {
            query.push(" AND t.industry = ").push_bind(industry);
        }
        if let Some(country) = country {
            query.push(" AND t.country = ").push_bind(country);
        }
        if let Some(owner) = owner {
            query.push(" AND t.owner = ").push_bind(owner);
        }
    }
}
