//! Searching the directory of contacts.

use kernel::TenantId;
use sqlx::{PgConnection, Postgres, QueryBuilder};
use uuid::Uuid;

use super::row::ContactRow;
use folding::paging::{KeyType, Keyset, ListError, Seek, SeekKey};
use folding::table::{self, select};
use folding::words;

/// Which contacts; what is `None` does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContactFilter {
    /// Each of these words begins a word of name, e-mail address or telephone number.
    pub search: Option<String>,
    /// The e-mail address, in any case.
    pub email: Option<String>,
    /// At this account.
    pub account: Option<Uuid>,
    /// The user responsible.
    pub owner: Option<String>,
}

/// In which order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ContactOrder {
    /// By name, in the order of code points.
    #[default]
    Name,
    /// Last created first.
    Newest,
}

impl ContactOrder {
    /// Where a page that ends with `row` ends.
    pub fn seek(self, row: &ContactRow) -> Seek {
        let key = match self {
            Self::Name => SeekKey::Text(row.name.clone()),
            Self::Newest => SeekKey::Time(row.created_at),
        };
        Seek { key, id: row.contact_id }
    }

    fn keyset(self) -> Keyset {
        let (column, ty, descending) = match self {
            Self::Name => ("name", KeyType::Text, false),
            Self::Newest => ("created_at", KeyType::Time, true),
        };
        Keyset { column, ty, id: "contact_id", descending }
    }
}

/// At most `limit` contacts after `after`.
pub async fn list(
    tables: &mut PgConnection,
    tenant: TenantId,
    filter: &ContactFilter,
    order: ContactOrder,
    after: Option<Seek>,
    limit: i64,
) -> Result<Vec<ContactRow>, ListError> {
    let mut query = QueryBuilder::new(select::<ContactRow>());
    filter.push(&mut query, tenant);
    order.keyset().after(&mut query, after)?;
    order.keyset().limit(&mut query, limit);
    Ok(query.build_query_as().fetch_all(tables).await?)
}

/// How many contacts the filter lets through.
pub async fn count(tables: &mut PgConnection, tenant: TenantId, filter: &ContactFilter) -> Result<i64, sqlx::Error> {
    let mut query = QueryBuilder::new("SELECT count(*) FROM contact t ");
    filter.push(&mut query, tenant);
    query.build_query_scalar().fetch_one(tables).await
}

/// These contacts, in no order; unknown ids are left out.
pub async fn find(tables: &mut PgConnection, tenant: TenantId, ids: &[Uuid]) -> Result<Vec<ContactRow>, sqlx::Error> {
    let keys: Vec<_> = ids.iter().map(|id| (tenant.uuid(), *id)).collect();
    table::load(&keys, tables).await
}

/// The contacts of these accounts, at most `limit` of each, first created first.
pub async fn of_accounts(
    tables: &mut PgConnection,
    tenant: TenantId,
    accounts: &[Uuid],
    limit: i64,
) -> Result<Vec<ContactRow>, sqlx::Error> {
    let sql = format!(
        "SELECT t.* FROM UNNEST($2::uuid[]) AS a (account_id) CROSS JOIN LATERAL (
             {} WHERE t.tenant_id = $1 AND t.account_id = a.account_id
             ORDER BY t.created_at, t.contact_id LIMIT $3
         ) t",
        select::<ContactRow>()
    );
    sqlx::query_as(&sql).bind(tenant.uuid()).bind(accounts).bind(limit).fetch_all(tables).await
}

impl ContactFilter {
    fn push(&self, query: &mut QueryBuilder<'_, Postgres>, tenant: TenantId) {
        let Self { search, email, account, owner } = self.clone();
        query.push("WHERE t.tenant_id = ").push_bind(tenant.uuid());
        if let Some(search) = search {
            words::matching::<ContactRow>(query, tenant.uuid(), &search);
        }
        if let Some(email) = email {
            query.push(" AND t.email = ").push_bind(email.to_lowercase());
        }
        if let Some(account) = account {
            query.push(" AND t.account_id = ").push_bind(account);
        }
        if let Some(owner) = owner {
            query.push(" AND t.owner = ").push_bind(owner);
        }
    }
}
