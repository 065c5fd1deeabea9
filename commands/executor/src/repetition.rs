//! The same command once: its id, and the answer that is stored with its events.

use eventstore::{EventStore, StoredCommand};
use kernel::{Kind, Position, Refusal};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{Done, Request, refused};

/// A command's answer as stored.
#[derive(Serialize, Deserialize)]
pub(crate) struct Answer<T> {
    /// Version of the first aggregate after the command.
    pub(crate) version: u64,
    /// What the command answered.
    pub(crate) answer: T,
}

/// The answer of the first time.
pub(crate) fn first_answer<T: DeserializeOwned>(stored: &str, position: Position) -> Result<Done<T>, Refusal> {
    let stored: Answer<T> = serde_json::from_str(stored).map_err(|error| refused::by_json(&error))?;
    Ok(Done { answer: stored.answer, version: stored.version, position, repeated: true })
}

/// What this request was answered before under a command id, if it was carried out.
pub(crate) async fn look_up<T: DeserializeOwned>(
    store: &EventStore,
    request: &Request,
    id: &str,
) -> Result<Option<Done<T>>, Refusal> {
    let stored = store.command(request.caller.tenant(), id).await.map_err(|error| refused::by_the_log(&error))?;
    let Some(StoredCommand { request_hash, answer, last }) = stored else { return Ok(None) };
    if request_hash != request.request_hash {
        return Err(Refusal::idempotency_key_reused(id));
    }
    first_answer(&answer, last).map(Some)
}

/// Whether a refusal may only say that the command was done before: then the state does not allow it again.
pub(crate) fn may_follow_success(refusal: &Refusal) -> bool {
    !matches!(refusal.kind(), Kind::Internal | Kind::Unavailable | Kind::Timeout)
}

/// Refuses a command id that is not 1 to 255 printable ASCII characters.
pub(crate) fn check_id(id: &str) -> Result<(), Refusal> {
    if (1..=255).contains(&id.len()) && id.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return Ok(());
    }
    Err(Refusal::invalid("idempotency_key_invalid", "an idempotency key has 1 to 255 printable ASCII characters"))
}

/// The command id of a part of a request. A control character is in no id that a caller may send, so the ids of parts are
/// never those of requests.
pub(crate) fn part_id(id: &str, part: u64) -> String {
    format!("{id}\u{1f}{part}")
}
