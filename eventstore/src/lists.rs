//! Distribution of the rows of one query over several lists, for dataloaders.

use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row};

/// Distributes rows over `lists` lists, in the order of the rows: the column `nth` of a row is the number of its list, from 1. A list
/// without rows is empty.
///
/// # Errors
/// If a row can't be read, or has an invalid `nth`.
pub fn distribute<T: for<'r> FromRow<'r, PgRow>>(rows: &[PgRow], lists: usize) -> Result<Vec<Vec<T>>, sqlx::Error> {
    let mut distributed: Vec<Vec<T>> = (0..lists).map(|_| Vec::new()).collect();
    for row in rows {
        let nth: i64 = row.try_get("nth")?;
        let list = usize::try_from(nth - 1).ok().and_then(|nth| distributed.get_mut(nth));
        let list = list.ok_or_else(|| sqlx::Error::Decode(format!("nobody asked for list {nth}").into()))?;
        list.push(T::from_row(row)?);
    }
    Ok(distributed)
}
