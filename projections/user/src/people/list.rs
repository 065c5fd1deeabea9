//! Searching the directory of users.

use folding::paging::{KeyType, Keyset, ListError, Seek, SeekKey};
use folding::table::select;
use folding::words::{self, Term, of_tenant_having};
use kernel::{TenantId, UserId};
use sqlx::{PgConnection, Postgres, QueryBuilder};
use user_aggregates::{GroupId, OrganizationId, UserStatus};
use uuid::Uuid;

use super::reducer::{group_word, organization_word, role_word, status_word};
use super::row::PersonRow;
use super::search;
use crate::Named;

/// Which users; what is `None` does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PersonFilter {
    /// Each of these words begins a word of name, e-mail address, user name or telephone number.
    pub search: Option<String>,
    /// The e-mail address, in any case.
    pub email: Option<String>,
    /// The user name, in any case.
    pub user_name: Option<String>,
    /// In one of these states; `None`: who is a user, be they locked or deactivated.
    pub status: Option<Vec<UserStatus>>,
    /// With this role of their own.
    pub role: Option<String>,
    /// In this group.
    pub group: Option<GroupId>,
    /// In this organization.
    pub organization: Option<OrganizationId>,
}

/// In which order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PersonOrder {
    /// By name, in the order of code points.
    #[default]
    Name,
    /// Last registered first.
    Newest,
    /// First registered first.
    Oldest,
}

impl PersonOrder {
    /// Where a page that ends with `row` ends.
    pub fn seek(self, row: &PersonRow) -> Seek {
        let key = match self {
            Self::Name => SeekKey::Text(row.name.clone()),
            Self::Newest | Self::Oldest => SeekKey::Time(row.registered_at),
        };
        Seek { key, id: row.user_id }
    }

    pub(super) fn keyset(self) -> Keyset {
        let (column, ty, descending) = match self {
            Self::Name => ("name", KeyType::Text, false),
            Self::Newest => ("registered_at", KeyType::Time, true),
            Self::Oldest => ("registered_at", KeyType::Time, false),
        };
        Keyset { column, ty, id: "user_id", descending }
    }
}

/// At most `limit` users after `after`.
pub async fn list(
    tables: &mut PgConnection,
    tenant: TenantId,
    filter: &PersonFilter,
    order: PersonOrder,
    after: Option<Seek>,
    limit: i64,
) -> Result<Vec<PersonRow>, ListError> {
    let terms = filter.terms();
    // Whose login is asked for is one: looked up, and then asked for the words.
    let one = filter.email.is_some() || filter.user_name.is_some();
    if !terms.is_empty() && !one {
        return search::page(tables, tenant, (filter, terms.as_slice()), order.keyset(), after, limit).await;
    }
    let mut query = QueryBuilder::new(select::<PersonRow>());
    filter.push(&mut query, tenant);
    order.keyset().after(&mut query, after)?;
    order.keyset().limit(&mut query, limit);
    Ok(query.build_query_as().fetch_all(tables).await?)
}

/// How many users the filter lets through.
pub async fn count(tables: &mut PgConnection, tenant: TenantId, filter: &PersonFilter) -> Result<i64, sqlx::Error> {
    let mut query = QueryBuilder::new("SELECT count(*) FROM person t ");
    filter.push(&mut query, tenant);
    query.build_query_scalar().fetch_one(tables).await
}

/// These users, in no order; unknown ids are left out.
pub async fn find(tables: &mut PgConnection, tenant: TenantId, ids: &[Uuid]) -> Result<Vec<PersonRow>, sqlx::Error> {
    folding::list::find(tables, tenant, ids).await
}

/// The user who signs in with this address or name; who is no user any more does not.
pub async fn by_login(
    tables: &mut PgConnection,
    tenant: TenantId,
    login: &str,
) -> Result<Option<PersonRow>, sqlx::Error> {
    // Two branches, so that each has its index.
    let sql = format!(
        "{select} WHERE t.tenant_id = $1 AND t.email = $2 AND t.status = ANY ($3)
         UNION ALL
         {select} WHERE t.tenant_id = $1 AND t.user_name = $2 AND t.status = ANY ($3)
         LIMIT 1",
        select = select::<PersonRow>()
    );
    let query = sqlx::query_as(&sql).bind(tenant.uuid()).bind(kernel::folded(login.trim()));
    query.bind(present()).fetch_optional(tables).await
}

/// The condition of the index of those who are users, word by word.
const PRESENT: &str = "t.status IN ('active', 'locked', 'deactivated')";

/// How many users there are.
pub async fn count_present(tables: &mut PgConnection, tenant: TenantId) -> Result<i64, sqlx::Error> {
    let sql = format!("SELECT count(*) FROM person t WHERE t.tenant_id = $1 AND {PRESENT}");
    sqlx::query_scalar(&sql).bind(tenant.uuid()).fetch_one(tables).await
}

/// At most `limit` users after the first `skipped`, in the order of their ids. Those that are skipped are counted along an index.
pub async fn page_present(
    tables: &mut PgConnection,
    tenant: TenantId,
    skipped: i64,
    limit: i64,
) -> Result<Vec<PersonRow>, sqlx::Error> {
    // The rows are fetched one by one, and only those of the page (OFFSET 0 keeps it so). Planned for each page: a plan for any
    // page sorts all users for the last ones.
    let sql = format!(
        "SELECT t.*
         FROM (
             SELECT t.user_id FROM person t WHERE t.tenant_id = $1 AND {PRESENT} ORDER BY t.user_id OFFSET $2 LIMIT $3
         ) page
         CROSS JOIN LATERAL ({} WHERE t.tenant_id = $1 AND t.user_id = page.user_id OFFSET 0) t
         ORDER BY t.user_id",
        select::<PersonRow>()
    );
    let query = sqlx::query_as(&sql).bind(tenant.uuid()).bind(skipped).bind(limit);
    query.persistent(false).fetch_all(tables).await
}

/// At most `limit` users whom an identity provider knows by this id; it should be one.
pub async fn by_external_id(
    tables: &mut PgConnection,
    tenant: TenantId,
    external_id: &str,
    limit: i64,
) -> Result<Vec<PersonRow>, sqlx::Error> {
    let sql = format!("{} WHERE t.tenant_id = $1 AND t.external_id = $2 LIMIT $3", select::<PersonRow>());
    sqlx::query_as(&sql).bind(tenant.uuid()).bind(external_id).bind(limit).fetch_all(tables).await
}

/// At most `limit` users whom the filter lets through, in no order.
pub async fn first(
    tables: &mut PgConnection,
    tenant: TenantId,
    filter: &PersonFilter,
    limit: i64,
) -> Result<Vec<PersonRow>, sqlx::Error> {
    let mut query = QueryBuilder::new(select::<PersonRow>());
    filter.push(&mut query, tenant);
    query.push(" LIMIT ").push_bind(limit);
    query.build_query_as().fetch_all(tables).await
}

/// The ids of all who are or were users, in their order, after `after`.
pub async fn ids(
    tables: &mut PgConnection,
    tenant: TenantId,
    after: Option<UserId>,
    limit: i64,
) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar("SELECT user_id FROM person WHERE tenant_id = $1 AND user_id > $2 ORDER BY user_id LIMIT $3")
        .bind(tenant.uuid())
        .bind(after.map_or(Uuid::nil(), UserId::uuid))
        .bind(limit)
        .fetch_all(tables)
        .await
}

/// The states of those who are users.
fn present() -> Vec<Named<UserStatus>> {
    use UserStatus::{Active, Deactivated, Erased, Locked, Removed};
    [Active, Locked, Deactivated, Removed, Erased].into_iter().filter(|status| status.is_present()).map(Named).collect()
}

impl PersonFilter {
    fn push(&self, query: &mut QueryBuilder<'_, Postgres>, tenant: TenantId) {
        of_tenant_having::<PersonRow>(query, tenant, &self.terms());
        self.plain(query);
    }

    /// The words that whoever is looked for has.
    fn terms(&self) -> Vec<Term> {
        let belongs =
            [self.role.as_deref().map(role_word), self.group.map(group_word), self.organization.map(organization_word)];
        let status = match self.status.as_deref() {
            Some([status]) => status_word(*status),
            _ => None,
        };
        let belongs = belongs.into_iter().flatten().chain(status).map(Term::Is);
        self.search.as_deref().map(words::terms).unwrap_or_default().into_iter().chain(belongs).collect()
    }

    /// Whether who is looked for is a user, where that is the same of all of them.
    pub(super) fn present(&self) -> Option<bool> {
        let Some(status) = &self.status else { return Some(true) };
        let mut present = status.iter().map(|status| status.is_present());
        let first = present.next()?;
        present.all(|other| other == first).then_some(first)
    }

    /// Adds all conditions but the tenant and the words.
    pub(super) fn plain(&self, query: &mut QueryBuilder<'_, Postgres>) {
        match &self.status {
            // Written out: that is what the indexes of those who are users ask for.
            None => query.push(format_args!(" AND {PRESENT}")),
            Some(status) => {
                let status: Vec<_> = status.iter().copied().map(Named).collect();
                query.push(" AND t.status = ANY (").push_bind(status).push(")")
            }
        };
        if let Some(email) = &self.email {
            query.push(" AND t.email = ").push_bind(kernel::folded(email));
        }
        if let Some(user_name) = &self.user_name {
            query.push(" AND t.user_name = ").push_bind(kernel::folded(user_name));
        }
    }
}
