//! Error chains, from the outermost reason to the innermost.

use std::error::Error;

/// The maximum number of reasons that are stored, and the maximum length of each in characters.
const MOST: usize = 16;
const LONGEST: usize = 4_000;

/// An error with its causes, outermost first, including the details of database errors.
pub fn chain(error: &(dyn Error + 'static)) -> Vec<String> {
    let mut errors: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        errors.push(error.to_string());
        if let Some(sqlx::Error::Database(database)) = error.downcast_ref::<sqlx::Error>() {
            errors.extend(said(database.as_ref()));
            break;
        }
        next = error.source();
    }
    tidy(errors)
}

/// The details of a database error besides its message.
fn said(error: &dyn sqlx::error::DatabaseError) -> Vec<String> {
    let mut said = Vec::new();
    if let Some(code) = error.code() {
        said.push(format!("SQLSTATE {code}"));
    }
    if let (Some(constraint), Some(table)) = (error.constraint(), error.table()) {
        said.push(format!("the constraint {constraint} of the table {table}"));
    }
    let detail = error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().and_then(|error| error.detail());
    said.extend(detail.map(str::to_owned));
    said
}

/// Prepares reasons for storage: limits them, replaces NUL (which text in Postgres can't have, while a reason may quote an event), and
/// removes consecutive duplicates.
pub(crate) fn tidy(errors: Vec<String>) -> Vec<String> {
    let mut errors: Vec<String> =
        errors.into_iter().map(|error| error.replace('\0', "\u{FFFD}").chars().take(LONGEST).collect()).collect();
    errors.dedup();
    errors.truncate(MOST);
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_bounded_and_can_be_stored() {
        let long = "é".repeat(LONGEST + 1);
        let tidied = tidy([vec!["a\0b".to_owned(), "a\0b".to_owned(), long], vec!["x".to_owned(); 3]].concat());
        assert_eq!((tidied.len(), tidied[0].as_str()), (3, "a\u{FFFD}b"));
        assert_eq!(tidied[1].chars().count(), LONGEST);
    }
}
