//! Lists of the directory of accounts.

use folding::list::{Filter, Order};
use folding::paging::{KeyType, Keyset, Seek, SeekKey};
use folding::words;
use kernel::TenantId;
use sqlx::{Postgres, QueryBuilder};

use super::row::AccountRow;

/// A filter of accounts; `None` means any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountFilter {
    /// Each of these words is a prefix of a word of the name or web address.
    pub search: Option<String>,
    /// The branch of business, exactly as stored.
    pub industry: Option<String>,
    /// The ISO 3166-1 alpha-2 code of the country; case does not matter.
    pub country: Option<String>,
    /// The user responsible.
    pub owner: Option<String>,
}

/// The order of a list of accounts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccountOrder {
    /// By name, in the order of code points.
    #[default]
    Name,
    /// Most recently created first.
    Newest,
}

impl Order<AccountRow> for AccountOrder {
    fn keyset(self) -> Keyset {
        let (column, ty, descending) = match self {
            Self::Name => ("name", KeyType::Text, false),
            Self::Newest => ("created_at", KeyType::Time, true),
        };
        Keyset { column, ty, id: "account_id", descending }
    }

    fn seek(self, row: &AccountRow) -> Seek {
        let key = match self {
            Self::Name => SeekKey::Text(row.name.clone()),
            Self::Newest => SeekKey::Time(row.created_at),
        };
        Seek { key, id: row.account_id }
    }
}

impl Filter for AccountFilter {
    type Row = AccountRow;
    type Order = AccountOrder;

    fn push(&self, query: &mut QueryBuilder<'_, Postgres>, tenant: TenantId) {
        let Self { search, industry, country, owner } = self.clone();
        words::of_tenant_matching::<AccountRow>(query, tenant, search.as_deref());
        if let Some(industry) = industry {
            query.push(" AND t.industry = ").push_bind(industry);
        }
        if let Some(country) = country {
            query.push(" AND t.country = ").push_bind(country.to_ascii_uppercase());
        }
        if let Some(owner) = owner {
            query.push(" AND t.owner = ").push_bind(owner);
        }
    }
}
