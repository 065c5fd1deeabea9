//! Lists: the rows that a filter lets through, in an order, page by page; how many they are; and rows by their ids.

use kernel::TenantId;
use sqlx::{PgConnection, Postgres, QueryBuilder};
use uuid::Uuid;

use crate::paging::{Keyset, ListError, Seek};
use crate::table::{self, Table, select};

/// Which rows of a read model are wanted.
pub trait Filter: Send + Sync {
    /// What is listed.
    type Row: Table;
    /// In which orders it is.
    type Order: Order<Self::Row>;

    /// Adds the condition, which begins with `WHERE t.tenant_id = …`, to a query over the rows' table under the alias `t`.
    fn push(&self, query: &mut QueryBuilder<'_, Postgres>, tenant: TenantId);
}

/// An order in which rows are listed.
pub trait Order<R>: Copy + Send + Sync {
    /// The columns that give it.
    fn keyset(self) -> Keyset;

    /// Where a page that ends with `row` ends.
    fn seek(self, row: &R) -> Seek;
}

/// At most `limit` rows after `after`.
///
/// # Errors
/// [`ListError::Cursor`] for a place of another order; what Postgres says.
pub async fn list<F: Filter>(
    tables: &mut PgConnection,
    tenant: TenantId,
    filter: &F,
    order: F::Order,
    after: Option<Seek>,
    limit: i64,
) -> Result<Vec<F::Row>, ListError> {
    let mut query = QueryBuilder::new(select::<F::Row>());
    filter.push(&mut query, tenant);
    order.keyset().after(&mut query, after)?;
    order.keyset().limit(&mut query, limit);
    Ok(query.build_query_as().fetch_all(tables).await?)
}

/// How many rows the filter lets through.
///
/// # Errors
/// What Postgres says.
pub async fn count<F: Filter>(tables: &mut PgConnection, tenant: TenantId, filter: &F) -> Result<i64, sqlx::Error> {
    let mut query = QueryBuilder::new(format!("SELECT count(*) FROM {} t ", F::Row::NAME));
    filter.push(&mut query, tenant);
    query.build_query_scalar().fetch_one(tables).await
}

/// Adds `WHERE t.tenant_id = …` to a query, from where it goes on.
pub fn of_tenant<'q, 'a>(
    query: &'q mut QueryBuilder<'a, Postgres>,
    tenant: TenantId,
) -> &'q mut QueryBuilder<'a, Postgres> {
    query.push("WHERE t.tenant_id = ").push_bind(tenant.uuid())
}

/// The first rows of each of these `owners`, at most `limit` of each: the column `owner` names whose a row is, the column `by`
/// orders those of one. An index over tenant, owner, that column and the row's id serves it.
///
/// # Errors
/// What Postgres says.
pub async fn first_of_each<R: Table>(
    tables: &mut PgConnection,
    tenant: TenantId,
    owners: &[Uuid],
    (owner, by): (&'static str, &'static str),
    limit: i64,
) -> Result<Vec<R>, sqlx::Error> {
    let sql = format!(
        "SELECT t.* FROM UNNEST($2::uuid[]) AS a (owner) CROSS JOIN LATERAL (
             {} WHERE t.tenant_id = $1 AND t.{owner} = a.owner ORDER BY t.{by}, t.{} LIMIT $3
         ) t",
        select::<R>(),
        R::KEY.get(1).copied().unwrap_or_default(),
    );
    sqlx::query_as(&sql).bind(tenant.uuid()).bind(owners).bind(limit).fetch_all(tables).await
}

/// The rows with these ids, in no order; unknown ids are left out. For tables with one row an aggregate.
///
/// # Errors
/// What Postgres says.
pub async fn find<R: Table>(tables: &mut PgConnection, tenant: TenantId, ids: &[Uuid]) -> Result<Vec<R>, sqlx::Error> {
    let keys: Vec<_> = ids.iter().map(|id| (tenant.uuid(), *id)).collect();
    table::load(&keys, tables).await
}
