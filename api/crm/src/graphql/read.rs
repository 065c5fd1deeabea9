//! What goes wrong when a read model is read, in GraphQL's form.

use crm_projections::ListError;
use face::graphql::refuse;
use juniper::FieldError;
use kernel::Refusal;

/// Postgres's code for a statement that took longer than it may.
const QUERY_CANCELED: &str = "57014";

/// The error of a query that failed. What Postgres said goes to the log, not to the caller.
pub(crate) fn unreadable(error: sqlx::Error) -> FieldError {
    if error.as_database_error().and_then(sqlx::error::DatabaseError::code).as_deref() == Some(QUERY_CANCELED) {
        return refuse(Refusal::timeout("query_timeout", "the query took too long; ask for less at a time"));
    }
    tracing::error!(%error, "a read model can't be read");
    refuse(Refusal::internal("read_failed", "the read model can't be read; the log says why"))
}

/// The error of a list that can't be given.
pub(crate) fn unlistable(error: ListError) -> FieldError {
    match error {
        ListError::Cursor => {
            refuse(Refusal::invalid("cursor_invalid", "this cursor is not from a page of this list in this order"))
        }
        ListError::Storage(error) => unreadable(error),
    }
}

/// GraphQL's Int has 32 bits; what does not fit is shown as the greatest there is.
pub(crate) fn int(number: i64) -> i32 {
    i32::try_from(number).unwrap_or(if number < 0 { i32::MIN } else { i32::MAX })
}
