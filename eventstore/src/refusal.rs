//! What callers are told when the log can't be read, or a key in it can't be used.

use kernel::Refusal;

use crate::{Error, closed};

/// The refusal for a failed read of the log, outside of commands. Logs the error.
pub fn log_unreadable(error: &Error) -> Refusal {
    if let Error::Key(error) = error {
        return key_unusable(error);
    }
    tracing::warn!(%error, "the log can't be read");
    Refusal::unavailable("log_unavailable", "the log does not answer; try again")
}

/// The refusal for a write of a tenant that is closed here.
pub fn tenant_moving() -> Refusal {
    Refusal::unavailable(
        "tenant_moving",
        "the tenant is being moved to another place; nothing was written: send it again in a moment",
    )
}

/// The refusal for a statement on the tables beside the log (jobs, webhooks, dead letters) that failed because its tenant is closed here.
pub fn refused_as_moving(error: &sqlx::Error) -> Option<Refusal> {
    closed::refuses_beside(error).then(tenant_moving)
}

/// The refusal for a key that can't be used: because of us, or because the key store of the master key is unavailable. Nothing was written.
/// Logs the error.
pub fn key_unusable(error: &keys::Error) -> Refusal {
    tracing::error!(%error, "a key does not do its work");
    match error {
        keys::Error::Unavailable(_) => Refusal::unavailable(
            "master_key_unavailable",
            "the master key can't be asked now, and nothing was written; try again",
        ),
        _ => Refusal::internal("key_unusable", "a key of this tenant can't be used; the server's log says why"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_log_or_a_key_store_that_does_not_answer_is_worth_another_attempt() {
        let code = |error: Error| log_unreadable(&error).code();
        assert_eq!(code(Error::Unavailable("no connection".to_owned())), "log_unavailable");
        assert_eq!(code(Error::Key(keys::Error::Unavailable("no answer".to_owned()))), "master_key_unavailable");
        assert_eq!(code(Error::Key(keys::Error::DoesNotOpen)), "key_unusable");
    }
}
