//! Bulk access to tables. A row's columns are declared once; loading or writing many rows is one statement.

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{Arguments, FromRow, PgConnection, Postgres};
use uuid::Uuid;

/// The approximate size of a bound value in bytes: its length field, and a UUID, a time or a short text.
const BYTES_PER_VALUE: usize = 20;

/// The tenant and aggregate of a row.
pub type Key = (Uuid, Uuid);

/// A column's name and its Postgres type.
#[derive(Clone, Copy, Debug)]
pub struct Column(pub &'static str, pub &'static str);

/// A row of a table whose key begins with the tenant.
pub trait Table: for<'r> FromRow<'r, PgRow> + Send + Sync + Unpin {
    /// The table's name.
    const NAME: &'static str;
    /// The columns of the primary key: `tenant_id`, the aggregate's id, and further ones if the table has several rows per aggregate.
    const KEY: &'static [&'static str];
    /// All columns, in the order in which `bind` binds them.
    const COLUMNS: &'static [Column];

    /// Binds one array for each column.
    fn bind<'q>(rows: &'q [Self], query: Query<'q, Postgres, PgArguments>) -> Query<'q, Postgres, PgArguments>;
}

/// Declares a row type of a table: the struct, its `FromRow`, and its [`Table`](crate::table::Table) for bulk writes.
#[macro_export]
macro_rules! table {
    (
        $(#[$meta:meta])*
        pub struct $row:ident in $table:literal key ($($key:literal),+) {
            $($(#[$field_meta:meta])* pub $field:ident : $ty:ty = $sql:literal),+ $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $row { $($(#[$field_meta])* pub $field: $ty),+ }

        impl<'r> ::sqlx::FromRow<'r, ::sqlx::postgres::PgRow> for $row {
            fn from_row(row: &'r ::sqlx::postgres::PgRow) -> Result<Self, ::sqlx::Error> {
                Ok(Self { $($field: ::sqlx::Row::try_get(row, stringify!($field))?),+ })
            }
        }

        impl $crate::table::Table for $row {
            const NAME: &'static str = $table;
            const KEY: &'static [&'static str] = &[$($key),+];
            const COLUMNS: &'static [$crate::table::Column] = &[$($crate::table::Column(stringify!($field), $sql)),+];

            fn bind<'q>(
                rows: &'q [Self],
                query: ::sqlx::query::Query<'q, ::sqlx::Postgres, ::sqlx::postgres::PgArguments>,
            ) -> ::sqlx::query::Query<'q, ::sqlx::Postgres, ::sqlx::postgres::PgArguments> {
                query$(.bind(rows.iter().map(|row| &row.$field).collect::<Vec<_>>()))+
            }
        }
    };
}

fn columns<T: Table>(prefix: &str) -> String {
    T::COLUMNS.iter().map(|Column(name, _)| format!("{prefix}{name}")).collect::<Vec<_>>().join(", ")
}

/// The `UNNEST` expressions of the columns' arrays, for the select list. There Postgres expands them row by row; in FROM it would copy them
/// first.
fn arrays<T: Table>() -> String {
    let arrays = T::COLUMNS.iter().enumerate().map(|(n, Column(_, ty))| format!("UNNEST(${}::{ty}[])", n + 1));
    arrays.collect::<Vec<_>>().join(", ")
}

/// `SELECT` of a row's columns from its table with the alias `t`, without a condition.
pub fn select<T: Table>() -> String {
    format!("SELECT {} FROM {} t ", columns::<T>("t."), T::NAME)
}

/// The rows of these aggregates, for tables with one row per aggregate.
pub async fn load<T: Table>(keys: &[Key], tables: &mut PgConnection) -> Result<Vec<T>, sqlx::Error> {
    load_where(keys, "", tables).await
}

/// The rows of these aggregates that meet the condition, which is empty or begins with `AND`.
pub async fn load_where<T: Table>(
    keys: &[Key],
    condition: &str,
    tables: &mut PgConnection,
) -> Result<Vec<T>, sqlx::Error> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    // OFFSET 0 makes the planner look up each key in the index. Otherwise it would read all rows of these tenants while the table has no
    // statistics.
    let sql = format!(
        "SELECT t.* FROM UNNEST($1::uuid[], $2::uuid[]) AS k (tenant_id, id) CROSS JOIN LATERAL (\
         {} WHERE t.tenant_id = k.tenant_id AND t.{} = k.id {condition} OFFSET 0) t",
        select::<T>(),
        T::KEY.get(1).copied().unwrap_or_default(),
    );
    let (tenants, ids): (Vec<Uuid>, Vec<Uuid>) = keys.iter().copied().unzip();
    sqlx::query_as(&sql).bind(tenants).bind(ids).fetch_all(tables).await
}

/// Inserts new rows.
pub async fn insert<T: Table>(rows: &[T], tables: &mut PgConnection) -> Result<(), sqlx::Error> {
    write(rows, "", tables).await
}

/// Inserts or updates rows.
pub async fn upsert<T: Table>(rows: &[T], tables: &mut PgConnection) -> Result<(), sqlx::Error> {
    let rest = T::COLUMNS.iter().filter(|Column(name, _)| !T::KEY.contains(name));
    let set = rest.map(|Column(name, _)| format!("{name} = EXCLUDED.{name}")).collect::<Vec<_>>().join(", ");
    write(rows, &format!(" ON CONFLICT ({}) DO UPDATE SET {set}", T::KEY.join(", ")), tables).await
}

async fn write<T: Table>(rows: &[T], on_conflict: &str, tables: &mut PgConnection) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let sql = format!("INSERT INTO {} ({}) SELECT {}{on_conflict}", T::NAME, columns::<T>(""), arrays::<T>());
    // Reserves the whole buffer: growing it step by step would copy large batches repeatedly.
    let mut arguments = PgArguments::default();
    arguments.reserve(T::COLUMNS.len(), rows.len() * T::COLUMNS.len() * BYTES_PER_VALUE);
    T::bind(rows, sqlx::query_with(&sql, arguments)).execute(tables).await?;
    Ok(())
}
