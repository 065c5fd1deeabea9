//! Several lists read in one query, as dataloaders do.

use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row};

/// Deals rows out to the lists that were asked for: a row's column `nth` says to which, from 1. In the order of the rows; a list that has
/// no row is empty.
///
/// # Errors
/// What is wrong with a row.
pub fn dealt<T: for<'r> FromRow<'r, PgRow>>(rows: &[PgRow], lists: usize) -> Result<Vec<Vec<T>>, sqlx::Error> {
    let mut dealt: Vec<Vec<T>> = (0..lists).map(|_| Vec::new()).collect();
    for row in rows {
        let nth: i64 = row.try_get("nth")?;
        let list = usize::try_from(nth - 1).ok().and_then(|nth| dealt.get_mut(nth));
        let list = list.ok_or_else(|| sqlx::Error::Decode(format!("nobody asked for list {nth}").into()))?;
        list.push(T::from_row(row)?);
    }
    Ok(dealt)
}
