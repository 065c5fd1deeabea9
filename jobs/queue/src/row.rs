//! Derives `FromRow`: each field is read from the column with its name, or with the name that is given.

/// `from_row!(Schedule { id = schedule_id, kind, queue });`
macro_rules! from_row {
    ($type:ident { $($field:ident $(= $column:ident)?),+ $(,)? }) => {
        impl sqlx::FromRow<'_, sqlx::postgres::PgRow> for $type {
            fn from_row(row: &sqlx::postgres::PgRow) -> Result<Self, sqlx::Error> {
                Ok(Self { $($field: sqlx::Row::try_get(row, from_row!(@ $field $($column)?))?),+ })
            }
        }
    };
    (@ $field:ident) => { stringify!($field) };
    (@ $field:ident $column:ident) => { stringify!($column) };
}

pub(crate) use from_row;
