//! Classification of database errors: whether a statement may be retried.

/// The class of a database error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The connection is lost, and it is not known whether the statement was executed.
    Lost,
    /// Nothing was written, and a retry may succeed (full disk, deadlock, starting server).
    Transient,
    /// Nothing was written, and a retry would fail again.
    Permanent,
}

/// Whether the error is from Postgres and has this SQLSTATE.
pub(crate) fn has_code(error: &sqlx::Error, code: &str) -> bool {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).as_deref() == Some(code)
}

/// Classifies an error.
pub(crate) fn classify(error: &sqlx::Error) -> Failure {
    use sqlx::Error as E;
    match error {
        E::Database(database) => match database.code().as_deref() {
            // The server was shut down or crashed; connection exceptions; the server became a read-only standby.
            Some("57P01" | "57P02" | "57P05" | "25006") => Failure::Lost,
            Some(code) if code.starts_with("08") => Failure::Lost,
            // Cannot connect now, query cancelled (statement timeout), lock not available, deadlock, serialization failure.
            Some("57P03" | "57014" | "55P03" | "40001" | "40P01") => Failure::Transient,
            // Disk full, out of memory, too many connections; I/O errors of the server.
            Some(code) if code.starts_with("53") || code.starts_with("58") => Failure::Transient,
            _ => Failure::Permanent,
        },
        E::Io(_) | E::Tls(_) | E::Protocol(_) | E::PoolTimedOut | E::PoolClosed | E::WorkerCrashed => Failure::Lost,
        _ => Failure::Permanent,
    }
}
