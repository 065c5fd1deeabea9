//! Maps errors of the log, of keys and of serialization to the refusals of commands. Those of other reads: [`eventstore::log_unreadable`].

use eventstore::{append, key_unusable, tenant_moving};
use kernel::{DecodeError, Refusal};

use crate::ClaimKind;

/// The refusal for a failed read of the log in a command.
pub(crate) fn by_the_log(error: &eventstore::Error) -> Refusal {
    match error {
        eventstore::Error::Unavailable(reason) => {
            tracing::warn!(%reason, "the log is not available");
            unavailable()
        }
        eventstore::Error::Key(error) => key_unusable(error),
        error => {
            tracing::error!(%error, "the log can't be read");
            failed()
        }
    }
}

/// The refusal for a stored event that this program can't decode.
pub(crate) fn by_history(error: &DecodeError) -> Refusal {
    let (event_type, event_version) = named(error);
    tracing::error!(event_type, event_version, "a stored event can't be read");
    Refusal::internal("history_unreadable", "a stored event can't be read by this version of the program")
}

/// Logs that an event that can't be decoded is skipped.
pub(crate) fn log_skipped(error: &DecodeError) {
    let (event_type, event_version) = named(error);
    tracing::warn!(event_type, event_version, "a stored event can't be read, and is passed over to erase somebody");
}

/// The type and version of the event. Serde's message is not logged: it quotes values, which may be personal data.
fn named(error: &DecodeError) -> (&str, u32) {
    match error {
        DecodeError::Unknown { event_type, version, .. } | DecodeError::Payload { event_type, version, .. } => {
            (event_type, *version)
        }
    }
}

/// The refusal for an event or answer that can't be serialized or deserialized.
pub(crate) fn by_json(error: &serde_json::Error) -> Refusal {
    // Serde's message is not logged: it quotes values, which may be personal data.
    tracing::error!(class = ?error.classify(), "an event or answer can't be turned into JSON or back");
    Refusal::internal("not_serializable", "the command's outcome can't be stored or read back")
}

/// The refusal for a failed append. `kinds`: the kinds of claims that it requested.
pub(crate) fn by_the_append<'a>(error: &append::Error, kinds: impl IntoIterator<Item = &'a ClaimKind>) -> Refusal {
    match error {
        append::Error::VersionConflict { aggregate_type, aggregate_id, .. } => Refusal::conflict(
            "changed_meanwhile",
            format!("{aggregate_type} {aggregate_id} is being changed by others at the same time; try again"),
        ),
        append::Error::CommandReused { id } => Refusal::idempotency_key_reused(id),
        append::Error::ClaimTaken { kind, holder } => {
            match kinds.into_iter().find(|candidate| candidate.name == kind) {
                Some(kind) => Refusal::conflict(kind.code, kind.detail).with("holder", holder.as_str()),
                None => Refusal::conflict("claim_taken", format!("{kind} is taken")).with("holder", holder.as_str()),
            }
        }
        append::Error::EventTooLarge { bytes, allowed } => Refusal::too_large(
            "event_too_large",
            format!("this makes an event of {bytes} bytes; allowed are {allowed}"),
        ),
        append::Error::Invalid(reason) => Refusal::invalid("not_storable", reason.as_str()),
        append::Error::Keyless(error) => key_unusable(error),
        append::Error::Busy(reason) => {
            tracing::warn!(%reason, "the log is busy");
            Refusal::unavailable(
                "log_busy",
                "too much waits to be written already; nothing was written: try again in a while",
            )
        }
        append::Error::Closed { .. } => tenant_moving(),
        append::Error::Unavailable(_) | append::Error::Outdated => {
            tracing::warn!(%error, "the append has no outcome");
            unavailable()
        }
        append::Error::Storage(error) => {
            tracing::error!(%error, "the append failed");
            failed()
        }
    }
}

fn unavailable() -> Refusal {
    Refusal::unavailable(
        "log_unavailable",
        "the event log does not answer; it is not known whether the command was done: repeat it with the same \
         Idempotency-Key",
    )
}

fn failed() -> Refusal {
    Refusal::internal("log_failed", "the event log failed; the server's log says more")
}
