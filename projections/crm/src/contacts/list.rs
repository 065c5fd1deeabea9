//! Lists and lookups of the directory of contacts.

use folding::list::{Filter, Order, first_of_each};
use folding::paging::{KeyType, Keyset, Seek, SeekKey};
use folding::words;
use kernel::TenantId;
use sqlx::{PgConnection, Postgres, QueryBuilder};
use uuid::Uuid;

use super::row::ContactRow;

/// The SQL condition on a contact that was not erased.
const NOT_ERASED: &str = " AND t.erased_at IS NULL";

/// A filter of contacts; `None` means any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContactFilter {
    /// Each of these words is a prefix of a word of the name, e-mail address or telephone number.
    pub search: Option<String>,
    /// The e-mail address; case does not matter.
    pub email: Option<String>,
    /// Contacts of this account.
    pub account: Option<Uuid>,
    /// The user responsible.
    pub owner: Option<String>,
    /// Whether erased contacts match, too.
    pub erased: bool,
}

/// The order of a list of contacts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ContactOrder {
    /// By name, in the order of code points.
    #[default]
    Name,
    /// Most recently created first.
    Newest,
}

impl Order<ContactRow> for ContactOrder {
    fn keyset(self) -> Keyset {
        let (column, ty, descending) = match self {
            Self::Name => ("name", KeyType::Text, false),
            Self::Newest => ("created_at", KeyType::Time, true),
        };
        Keyset { column, ty, id: "contact_id", descending }
    }

    fn seek(self, row: &ContactRow) -> Seek {
        let key = match self {
            Self::Name => SeekKey::Text(row.name.clone()),
            Self::Newest => SeekKey::Time(row.created_at),
        };
        Seek { key, id: row.contact_id }
    }
}

/// The contact that was created when this lead was converted.
pub async fn made_of(tables: &mut PgConnection, tenant: TenantId, lead: Uuid) -> Result<Option<Uuid>, sqlx::Error> {
    // No index, because it is needed only for erasures of leads whose history can't be read.
    sqlx::query_scalar("SELECT contact_id FROM contact WHERE tenant_id = $1 AND lead_id = $2 LIMIT 1")
        .bind(tenant.uuid())
        .bind(lead)
        .fetch_optional(tables)
        .await
}

/// The contacts of these accounts that were not erased, at most `limit` for each, in the order in which they were created.
pub async fn of_accounts(
    tables: &mut PgConnection,
    tenant: TenantId,
    accounts: &[Uuid],
    limit: i64,
) -> Result<Vec<ContactRow>, sqlx::Error> {
    first_of_each(tables, tenant, accounts, ("account_id", "created_at"), NOT_ERASED, limit).await
}

impl Filter for ContactFilter {
    type Row = ContactRow;
    type Order = ContactOrder;

    fn push(&self, query: &mut QueryBuilder<'_, Postgres>, tenant: TenantId) {
        let Self { search, email, account, owner, erased } = self.clone();
        words::of_tenant_matching::<ContactRow>(query, tenant, search.as_deref());
        if let Some(email) = email {
            query.push(" AND t.email = ").push_bind(kernel::folded(&email));
        }
        if let Some(account) = account {
            query.push(" AND t.account_id = ").push_bind(account);
        }
        if let Some(owner) = owner {
            query.push(" AND t.owner = ").push_bind(owner);
        }
        if !erased {
            query.push(NOT_ERASED);
        }
    }
}
