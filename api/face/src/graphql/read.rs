//! GraphQL errors for failed reads of read models.

use chrono::{DateTime, NaiveDate, Utc};
use folding::ListError;
use juniper::{FieldError, FieldResult};
use kernel::{Kind, Refusal};

use super::refuse;

/// Postgres's code for a statement that exceeded its timeout.
const QUERY_CANCELED: &str = "57014";
/// Postgres's class of codes for invalid values: NUL in text, dates out of range, numbers too large.
const DATA_EXCEPTION: &str = "22";
/// Postgres's code for a statement in a transaction that was aborted by an earlier error.
const TRANSACTION_FAILED: &str = "25P02";

/// Postgres's codes for an undefined column and an undefined table.
const UNDEFINED: [&str; 2] = ["42703", "42P01"];

/// The error for a failed query. Postgres's message is logged, but not shown to the caller.
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

/// The error for a list that can't be read.
pub fn unlistable(error: ListError) -> FieldError {
    match error {
        ListError::Cursor => {
            refuse(Refusal::invalid("cursor_invalid", "this cursor is not from a page of this list in this order"))
        }
        ListError::Storage(error) => unreadable(error),
    }
}

/// What a time range can begin and end with.
pub trait Bound: PartialOrd {
    /// It in the form in which an argument gives it.
    fn written(self) -> String;
}

impl Bound for DateTime<Utc> {
    fn written(self) -> String {
        kernel::write_time(self)
    }
}

impl Bound for NaiveDate {
    fn written(self) -> String {
        self.to_string()
    }
}

/// Refuses a time range that ends before it begins: its empty result would look as if nothing had happened. Takes both arguments with
/// their names; a missing argument leaves that end of the range open.
pub fn forward<T: Bound>(from: (&str, Option<T>), to: (&str, Option<T>)) -> FieldResult<()> {
    match (from, to) {
        ((from_name, Some(from)), (to_name, Some(to))) if to < from => {
            let (from, to) = (from.written(), to.written());
            let detail = format!("{to_name}: {to} is before {from_name}: {from}; allowed is that time or a later one");
            Err(refuse(Refusal::invalid("time_backwards", detail)))
        }
        _ => Ok(()),
    }
}

/// Converts to GraphQL's 32-bit `Int`; numbers outside its range saturate.
pub fn int(number: i64) -> i32 {
    i32::try_from(number).unwrap_or(if number < 0 { i32::MIN } else { i32::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_that_ends_before_it_begins_is_named_as_it_was_given() {
        let [from, to] = ["2026-02-01T09:30:00Z", "2026-01-01T09:30:00.250Z"].map(|text| kernel::read_time(text).ok());
        assert!(forward(("from", to), ("to", from)).is_ok());
        assert!(forward(("from", from), ("to", None)).is_ok());
        assert_eq!(
            forward(("from", from), ("to", to)).unwrap_err().message(),
            "to: 2026-01-01T09:30:00.250Z is before from: 2026-02-01T09:30:00Z; allowed is that time or a later one"
        );
    }
}
