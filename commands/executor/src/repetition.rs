//! Idempotency: recognizes repeated requests by their command id, and returns the stored answer.

use eventstore::{EventStore, StoredCommand};
use kernel::{Kind, Position, Refusal};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{Done, Request, refused};

/// A command's answer as stored.
#[derive(Serialize, Deserialize)]
pub(crate) struct Answer<T> {
    /// Version of the first aggregate after the command ([`Done::version`]).
    pub(crate) version: u64,
    /// The command's answer.
    pub(crate) answer: T,
}

/// The result of a repeated request, from the stored answer.
pub(crate) fn first_answer<T: DeserializeOwned>(stored: &str, position: Position) -> Result<Done<T>, Refusal> {
    let stored: Answer<T> = serde_json::from_str(stored).map_err(|error| refused::by_json(&error))?;
    Ok(Done { answer: stored.answer, version: stored.version, position, repeated: true })
}

/// The stored answer under a command id; `None` if it was not carried out yet.
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

/// Whether the refusal may be caused by the request's own earlier success, because the state no longer allows the command.
pub(crate) fn may_be_repetition(refusal: &Refusal) -> bool {
    !matches!(refusal.kind(), Kind::Internal | Kind::Unavailable | Kind::Timeout)
}

/// Refuses a command id that is not 1 to 255 printable ASCII characters.
pub(crate) fn check_id(id: &str) -> Result<(), Refusal> {
    if (1..=255).contains(&id.len()) && id.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return Ok(());
    }
    Err(Refusal::invalid("idempotency_key_invalid", "an idempotency key has 1 to 255 printable ASCII characters"))
}

/// The command id of a part of a request. It contains a control character, which ids from clients can't, so it never equals a request's id.
pub(crate) fn part_id(id: &str, part: u64) -> String {
    format!("{id}\u{1f}{part}")
}
