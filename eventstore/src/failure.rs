//! What a database error means for whoever sent the statement.

/// What to do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The connection is gone, and whether the statement was carried out is not known.
    Lost,
    /// Nothing was written; the same may succeed in a while (a full disk, a deadlock, a server that starts).
    Passing,
    /// Nothing was written, and the same would fail again.
    Lasting,
}

/// Whether Postgres answered with this SQLSTATE.
pub(crate) fn has_code(error: &sqlx::Error, code: &str) -> bool {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).as_deref() == Some(code)
}

/// Judges an error.
pub(crate) fn judge(error: &sqlx::Error) -> Failure {
    use sqlx::Error as E;
    match error {
        E::Database(database) => match database.code().as_deref() {
            // Shut down or crashed under us; connection exceptions; a server that became a read-only standby.
            Some("57P01" | "57P02" | "57P05" | "25006") => Failure::Lost,
            Some(code) if code.starts_with("08") => Failure::Lost,
            // Cannot connect now, cancelled (statement timeout), lock not available, deadlock, serialization.
            Some("57P03" | "57014" | "55P03" | "40001" | "40P01") => Failure::Passing,
            // Disk full, out of memory, too many connections; input/output errors of the server.
            Some(code) if code.starts_with("53") || code.starts_with("58") => Failure::Passing,
            _ => Failure::Lasting,
        },
        E::Io(_) | E::Tls(_) | E::Protocol(_) | E::PoolTimedOut | E::PoolClosed | E::WorkerCrashed => Failure::Lost,
        _ => Failure::Lasting,
    }
}
