//! How a failed command says why: the error with its causes, and what an operator can do about it.

use std::error::Error;
use std::io;

use anyhow::Chain;
use directory::DirectoryError;
use eventstore::admin::{ADVICE, is_never_migrated, is_without_connection};

/// The error with its causes, the outermost first. A cause with which the one before it ends is left out: many libraries' errors repeat it.
pub fn reasons(error: &anyhow::Error) -> String {
    let mut said = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if said.is_empty() {
            said = cause;
        } else if !said.ends_with(&cause) {
            said.push_str(": ");
            said.push_str(&cause);
        }
    }
    said
}

/// What to do if the error is one that operators meet when a server is not there, or not prepared; `None` for others.
pub fn advice(error: &anyhow::Error) -> Option<&'static str> {
    if has(error, is_never_migrated) {
        return Some(ADVICE);
    }
    has(error, is_not_there).then_some("Does the server run there? `inopsio dev` runs private ones")
}

/// Whether nobody listens at an address, or a pool has tried for too long to find somebody there.
fn is_not_there(cause: &(dyn Error + 'static)) -> bool {
    cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
        || is_without_connection(cause)
}

/// Whether one of the causes is like this.
fn has(error: &anyhow::Error, is: fn(&(dyn Error + 'static)) -> bool) -> bool {
    error.chain().any(|cause| match cause.downcast_ref() {
        // It says itself what Postgres said, so it does not give that as its source.
        Some(DirectoryError::Storage(said)) => Chain::new(&**said).any(is),
        _ => is(cause),
    })
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::sync::Arc;

    use anyhow::anyhow;

    use super::*;

    #[test]
    fn a_cause_that_was_said_is_not_repeated() {
        assert_eq!(
            reasons(&anyhow!("no space").context("can't write: no space").context("crm")),
            "crm: can't write: no space"
        );
        assert_eq!(reasons(&anyhow!("a").context("b").context("a")), "a: b: a");
    }

    #[test]
    fn whoever_finds_no_server_is_advised_and_nobody_else() {
        let io = |kind: ErrorKind| sqlx::Error::Io(kind.into());
        let said = |error: anyhow::Error| advice(&error.context("Postgres at 127.0.0.1:5432"));
        assert!(said(io(ErrorKind::ConnectionRefused).into()).unwrap().contains("run there"));
        let directory = DirectoryError::Storage(Arc::new(io(ErrorKind::ConnectionRefused)));
        assert!(said(directory.into()).unwrap().contains("run there"));
        let tired = DirectoryError::Storage(Arc::new(sqlx::Error::PoolTimedOut));
        assert!(said(tired.into()).unwrap().contains("run there"));
        assert_eq!(said(io(ErrorKind::UnexpectedEof).into()), None);
        assert_eq!(said(anyhow!("password authentication failed for user \"inopsio_crm_read\"")), None, "who says so?");
    }
}
