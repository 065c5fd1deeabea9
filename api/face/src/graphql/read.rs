//! What goes wrong when a read model is read, in GraphQL's form.

use std::fmt::Display;

use folding::ListError;
use juniper::{FieldError, FieldResult};
use kernel::{Kind, Refusal};

use super::refuse;

/// Postgres's code for a statement that took longer than it may.
const QUERY_CANCELED: &str = "57014";
/// Postgres's class of codes for values that can't be: NUL in text, dates out of range, numbers too large.
const DATA_EXCEPTION: &str = "22";
/// Postgres's code for a statement in a transaction in which one has failed.
const TRANSACTION_FAILED: &str = "25P02";

/// Postgres's codes for a column and a table that it does not have.
const UNDEFINED: [&str; 2] = ["42703", "42P01"];

/// The error of a query that failed. What Postgres said goes to the log, not to the caller.
pub fn unreadable(error: sqlx::Error) -> FieldError {
    match error.as_database_error().and_then(sqlx::error::DatabaseError::code).as_deref() {
        Some(QUERY_CANCELED) => {
            return refuse(Refusal::timeout("query_timeout", "the query took too long; ask for less at a time"));
        }
        Some(code) if code.starts_with(DATA_EXCEPTION) => {
            tracing::debug!(%error, "a value was asked for that Postgres does not know");
            let detail = "an argument has an invalid value: a NUL character in a text, or a time out of range";
            return refuse(Refusal::invalid("value_not_allowed", detail));
        }
        Some(TRANSACTION_FAILED) => {
            tracing::debug!(%error, "a read model was not read, because another could not be");
            let detail = "this field was not read because reading another field failed; see the error of that field";
            return refuse(Refusal::new(Kind::Unprocessable, "query_aborted", detail));
        }
        Some(code) if UNDEFINED.contains(&code) => {
            tracing::error!(%error, "a read model has tables of another version");
            let detail = "the tables of this read model are of another version than the program: run `inopsio projection rebuild NAME` \
                          (`inopsio migrate` lists the names)";
            return refuse(Refusal::unavailable("read_model_outdated", detail));
        }
        _ => {}
    }
    tracing::error!(%error, "a read model can't be read");
    refuse(Refusal::internal("read_failed", "the read model can't be read; the server's log has details"))
}

/// The error of a list that can't be given.
pub fn unlistable(error: ListError) -> FieldError {
    match error {
        ListError::Cursor => {
            refuse(Refusal::invalid("cursor_invalid", "this cursor is not from a page of this list in this order"))
        }
        ListError::Storage(error) => unreadable(error),
    }
}

/// Refuses a stretch of time that ends before it begins, which would look like one in which nothing happened. With the names of
/// the two arguments; one that is not given is no end.
pub fn forward<T: PartialOrd + Display>(from: (&str, Option<T>), to: (&str, Option<T>)) -> FieldResult<()> {
    match (from, to) {
        ((from_name, Some(from)), (to_name, Some(to))) if to < from => {
            let detail = format!("{to_name}: {to} is before {from_name}: {from}; allowed is that time or a later one");
            Err(refuse(Refusal::invalid("time_backwards", detail)))
        }
        _ => Ok(()),
    }
}

/// GraphQL's Int has 32 bits; what does not fit is shown as the greatest there is.
pub fn int(number: i64) -> i32 {
    i32::try_from(number).unwrap_or(if number < 0 { i32::MIN } else { i32::MAX })
}
