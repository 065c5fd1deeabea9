//! Tables written in bulk: a row's columns are named once; loading and writing many rows is one statement each.

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{Arguments, FromRow, PgConnection, Postgres};
use uuid::Uuid;

/// What a value takes on the wire, about: its length and a UUID, a time or a short text.
const BYTES: usize = 20;

/// Tenant and aggregate: what every row here belongs to.
pub type Key = (Uuid, Uuid);

/// A column's name and its Postgres type.
#[derive(Clone, Copy, Debug)]
pub struct Column(pub &'static str, pub &'static str);

/// A row of a table whose key begins with the tenant.
pub trait Table: for<'r> FromRow<'r, PgRow> + Send + Sync + Unpin {
    /// The table's name.
    const NAME: &'static str;
    /// The primary key: `tenant_id`, the aggregate's id, perhaps more.
    const KEY: &'static [&'static str];
    /// All columns, in the order in which `bind` binds them.
    const COLUMNS: &'static [Column];

    /// Binds one array a column.
    fn bind<'q>(rows: &'q [Self], query: Query<'q, Postgres, PgArguments>) -> Query<'q, Postgres, PgArguments>;
}

/// Declares a row: the struct, how it is read, and how many of them are written at once.
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

/// The arrays side by side in the list of columns, where they are taken apart row by row; in FROM they would be copied first.
fn arrays<T: Table>() -> String {
    let arrays = T::COLUMNS.iter().enumerate().map(|(n, Column(_, ty))| format!("UNNEST(${}::{ty}[])", n + 1));
    arrays.collect::<Vec<_>>().join(", ")
}

/// `SELECT` of a row's columns from its table under the alias `t`; the condition is to follow.
pub fn select<T: Table>() -> String {
    format!("SELECT {} FROM {} t ", columns::<T>("t."), T::NAME)
}

/// The rows of these aggregates; for tables with one row an aggregate.
pub async fn load<T: Table>(keys: &[Key], tables: &mut PgConnection) -> Result<Vec<T>, sqlx::Error> {
    load_where(keys, "", tables).await
}

/// The rows of these aggregates for which the condition holds.
pub async fn load_where<T: Table>(
    keys: &[Key],
    condition: &str,
    tables: &mut PgConnection,
) -> Result<Vec<T>, sqlx::Error> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    // OFFSET 0 keeps the planner from turning this round: key by key along the index, and not all rows of these tenants,
    // as it would while the table has no statistics.
    let sql = format!(
        "SELECT t.* FROM UNNEST($1::uuid[], $2::uuid[]) AS k (tenant_id, id) CROSS JOIN LATERAL (\
         {} WHERE t.tenant_id = k.tenant_id AND t.{} = k.id {condition} OFFSET 0) t",
        select::<T>(),
        T::KEY.get(1).copied().unwrap_or_default(),
    );
    let (tenants, ids): (Vec<Uuid>, Vec<Uuid>) = keys.iter().copied().unzip();
    sqlx::query_as(&sql).bind(tenants).bind(ids).fetch_all(tables).await
}

/// Writes new rows.
pub async fn insert<T: Table>(rows: &[T], tables: &mut PgConnection) -> Result<(), sqlx::Error> {
    write(rows, "", tables).await
}

/// Writes rows, whether they were there or not.
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
    // Room for all of it at once: growing step by step copies large batches again and again.
    let mut arguments = PgArguments::default();
    arguments.reserve(T::COLUMNS.len(), rows.len() * T::COLUMNS.len() * BYTES);
    T::bind(rows, sqlx::query_with(&sql, arguments)).execute(tables).await?;
    Ok(())
}
