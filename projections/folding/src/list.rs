//! Lists of rows: filtered, ordered and paged; their number; and rows by their ids.

use kernel::TenantId;
use sqlx::{PgConnection, Postgres, QueryBuilder};
use uuid::Uuid;

use crate::fold::Current;
use crate::paging::{Keyset, ListError, Seek};
use crate::table::{self, Table, select};

/// A filter of the rows of a read model.
pub trait Filter: Send + Sync {
    /// The rows.
    type Row: Table;
    /// The possible orders.
    type Order: Order<Self::Row>;

    /// Adds the condition, beginning with `WHERE t.tenant_id = …`, to a query of the rows' table with the alias `t`.
    fn push(&self, query: &mut QueryBuilder<'_, Postgres>, tenant: TenantId);
}

/// An order in which rows are listed.
pub trait Order<R>: Copy + Send + Sync {
    /// The columns of the order.
    fn keyset(self) -> Keyset;

    /// The cursor of a page whose last row is `row`.
    fn seek(self, row: &R) -> Seek;
}

/// At most `limit` rows after the cursor `after`.
///
/// # Errors
/// [`ListError::Cursor`] for a cursor of another order; errors of the database.
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

/// The number of rows that match the filter.
///
/// # Errors
/// Errors of the database.
pub async fn count<F: Filter>(tables: &mut PgConnection, tenant: TenantId, filter: &F) -> Result<i64, sqlx::Error> {
    let mut query = QueryBuilder::new(format!("SELECT count(*) FROM {} t ", F::Row::NAME));
    filter.push(&mut query, tenant);
    query.build_query_scalar().fetch_one(tables).await
}

/// Adds `WHERE t.tenant_id = …` to a query and returns the query, for further conditions.
pub fn of_tenant<'q, 'a>(
    query: &'q mut QueryBuilder<'a, Postgres>,
    tenant: TenantId,
) -> &'q mut QueryBuilder<'a, Postgres> {
    query.push("WHERE t.tenant_id = ").push_bind(tenant.uuid())
}

/// The first rows of each of these `owners`, at most `limit` for each. The column `owner` has the owner of a row, and the column `by`
/// orders the rows of one owner. An index on tenant, owner, that column and the row's id serves the query. `also` is a further SQL
/// condition on the row `t` (` AND …`), or empty.
///
/// # Errors
/// Errors of the database.
pub async fn first_of_each<R: Table>(
    tables: &mut PgConnection,
    tenant: TenantId,
    owners: &[Uuid],
    (owner, by): (&'static str, &'static str),
    also: &'static str,
    limit: i64,
) -> Result<Vec<R>, sqlx::Error> {
    let sql = format!(
        "SELECT t.* FROM UNNEST($2::uuid[]) AS a (owner) CROSS JOIN LATERAL (
             {} WHERE t.tenant_id = $1 AND t.{owner} = a.owner{also} ORDER BY t.{by}, t.{} LIMIT $3
         ) t",
        select::<R>(),
        R::KEY.get(1).copied().unwrap_or_default(),
    );
    sqlx::query_as(&sql).bind(tenant.uuid()).bind(owners).bind(limit).fetch_all(tables).await
}

/// The current rows of these aggregates, in no particular order, without unknown ids.
///
/// # Errors
/// Errors of the database.
pub async fn find<R: Current>(
    tables: &mut PgConnection,
    tenant: TenantId,
    ids: &[Uuid],
) -> Result<Vec<R>, sqlx::Error> {
    let keys: Vec<_> = ids.iter().map(|id| (tenant.uuid(), *id)).collect();
    table::load_where(&keys, R::CONDITION, tables).await
}
