//! Lists and lookups of the directory of users.

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

/// A filter of users; `None` means any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PersonFilter {
    /// Each of these words is a prefix of a word of the name, e-mail address, user name or telephone number.
    pub search: Option<String>,
    /// The e-mail address; case does not matter.
    pub email: Option<String>,
    /// The user name; case does not matter.
    pub user_name: Option<String>,
    /// Users in one of these states; `None`: active, locked and deactivated ones.
    pub status: Option<Vec<UserStatus>>,
    /// Users who have this role directly.
    pub role: Option<String>,
    /// Members of this group.
    pub group: Option<GroupId>,
    /// Members of this organization.
    pub organization: Option<OrganizationId>,
}

/// The order of a list of users.
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
    /// The cursor of a page whose last row is `row`.
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

/// At most `limit` users after the cursor `after`.
pub async fn list(
    tables: &mut PgConnection,
    tenant: TenantId,
    filter: &PersonFilter,
    order: PersonOrder,
    after: Option<Seek>,
    limit: i64,
) -> Result<Vec<PersonRow>, ListError> {
    let terms = filter.terms();
    // At most one user has a login name: it is looked up by that, and then checked for the words.
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

/// The number of users that match the filter.
pub async fn count(tables: &mut PgConnection, tenant: TenantId, filter: &PersonFilter) -> Result<i64, sqlx::Error> {
    let mut query = QueryBuilder::new("SELECT count(*) FROM person t ");
    filter.push(&mut query, tenant);
    query.build_query_scalar().fetch_one(tables).await
}

/// These users, in no particular order, without unknown ids.
pub async fn find(tables: &mut PgConnection, tenant: TenantId, ids: &[Uuid]) -> Result<Vec<PersonRow>, sqlx::Error> {
    folding::list::find(tables, tenant, ids).await
}

/// The user who signs in with this address or user name, unless removed or erased.
pub async fn by_login(
    tables: &mut PgConnection,
    tenant: TenantId,
    login: &str,
) -> Result<Option<PersonRow>, sqlx::Error> {
    // Two queries, so that each uses its index.
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

/// The condition for present users, exactly as in the partial indexes.
const PRESENT: &str = "t.status IN ('active', 'locked', 'deactivated')";

/// The number of present users: active, locked and deactivated ones.
pub async fn count_present(tables: &mut PgConnection, tenant: TenantId) -> Result<i64, sqlx::Error> {
    let sql = format!("SELECT count(*) FROM person t WHERE t.tenant_id = $1 AND {PRESENT}");
    sqlx::query_scalar(&sql).bind(tenant.uuid()).fetch_one(tables).await
}

/// At most `limit` present users after the first `skipped`, in the order of their ids. The skipped ones are counted in an index.
pub async fn page_present(
    tables: &mut PgConnection,
    tenant: TenantId,
    skipped: i64,
    limit: i64,
) -> Result<Vec<PersonRow>, sqlx::Error> {
    // Only the rows of the page are fetched, one by one (OFFSET 0 ensures it). Not persistent, so that each page is planned by itself: a
    // generic plan sorts all users for the last pages.
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

/// At most `limit` users with this id of an identity provider. There should be only one.
pub async fn by_external_id(
    tables: &mut PgConnection,
    tenant: TenantId,
    external_id: &str,
    limit: i64,
) -> Result<Vec<PersonRow>, sqlx::Error> {
    let sql = format!("{} WHERE t.tenant_id = $1 AND t.external_id = $2 LIMIT $3", select::<PersonRow>());
    sqlx::query_as(&sql).bind(tenant.uuid()).bind(external_id).bind(limit).fetch_all(tables).await
}

/// At most `limit` users that match the filter, in no particular order.
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

/// At most `limit` ids of present and former users after `after`, in order.
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

/// The states of present users.
fn present() -> Vec<Named<UserStatus>> {
    use UserStatus::{Active, Deactivated, Erased, Locked, Removed};
    [Active, Locked, Deactivated, Removed, Erased].into_iter().filter(|status| status.is_present()).map(Named).collect()
}

impl PersonFilter {
    fn push(&self, query: &mut QueryBuilder<'_, Postgres>, tenant: TenantId) {
        of_tenant_having::<PersonRow>(query, tenant, &self.terms());
        self.plain(query);
    }

    /// The index words that users must have to match.
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

    /// Whether all matching users are present, or all are not; `None` when it may be either.
    pub(super) fn present(&self) -> Option<bool> {
        let Some(status) = &self.status else { return Some(true) };
        let mut present = status.iter().map(|status| status.is_present());
        let first = present.next()?;
        present.all(|other| other == first).then_some(first)
    }

    /// Adds all conditions except the tenant and the words.
    pub(super) fn plain(&self, query: &mut QueryBuilder<'_, Postgres>) {
        match &self.status {
            // As a literal, so that the planner sees that the partial indexes fit.
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
