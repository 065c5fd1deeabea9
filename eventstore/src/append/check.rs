//! Validation of an append before it is queued.

use std::collections::HashSet;
use std::sync::Arc;

use chrono::Datelike;

use super::{Append, ClaimAct, Error, NewEvent};
use crate::Settings;

/// The longest id of an aggregate or a claim's holder, in bytes: these ids are parts of index keys.
const ID_BYTES: usize = 255;
/// The longest id of a command, in bytes: an id of [`ID_BYTES`], and a suffix that distinguishes the parts of a command that is executed in
/// several appends.
const COMMAND_ID_BYTES: usize = ID_BYTES + 32;

/// Refuses what Postgres would refuse (or wrongly accept) later, so that one bad append can't fail its batch.
///
/// # Errors
/// [`Error::Invalid`], [`Error::EventTooLarge`], and [`Error::ClaimTaken`] if two holders take the same claim in this append.
pub(crate) fn check(append: &Append, settings: &Settings) -> Result<(), Error> {
    within("a command id", &append.command.id, COMMAND_ID_BYTES)?;
    no_nul("an answer", &append.command.answer)?;
    let mut streams = HashSet::new();
    let mut metadata: Option<&Arc<str>> = None;
    let mut events = 0;
    for stream in &append.streams {
        id("an aggregate id", &stream.aggregate_id)?;
        if !streams.insert((stream.aggregate_type, &stream.aggregate_id)) {
            return Err(Error::Invalid(format!("{} {} twice", stream.aggregate_type, stream.aggregate_id)));
        }
        events += stream.events.len();
        if i64::try_from(stream.expected).is_err() {
            return Err(Error::Invalid(format!("the version {}", stream.expected)));
        }
        for event in &stream.events {
            check_event(event, settings)?;
            // The events of a command share their metadata, so it is checked only once.
            if metadata.is_none_or(|checked| !Arc::ptr_eq(checked, &event.metadata)) {
                json("metadata", &event.metadata)?;
                metadata = Some(&event.metadata);
            }
        }
    }
    if events > settings.append_events {
        return Err(Error::Invalid(format!("{events} events in one append; allowed are {}", settings.append_events)));
    }
    check_claims(append)
}

fn check_event(event: &NewEvent, settings: &Settings) -> Result<(), Error> {
    let bytes = event.payload.len() + event.metadata.len();
    if bytes > settings.event_bytes {
        return Err(Error::EventTooLarge { bytes, allowed: settings.event_bytes });
    }
    if event.event_version == 0 {
        return Err(Error::Invalid(format!("{} has version 0", event.event_type)));
    }
    if !(1..=9999).contains(&event.occurred_at.year()) {
        return Err(Error::Invalid(format!("{} occurred in the year {}", event.event_type, event.occurred_at.year())));
    }
    json("a payload", &event.payload)
}

fn check_claims(append: &Append) -> Result<(), Error> {
    for (at, claim) in append.claims.iter().enumerate() {
        id("a claim's holder", &claim.holder)?;
        let before = &append.claims[..at];
        let taken = before.iter().find(|other| {
            claim.act == ClaimAct::Take
                && other.act == ClaimAct::Take
                && (other.kind, other.key) == (claim.kind, claim.key)
                && other.holder != claim.holder
        });
        if let Some(other) = taken {
            return Err(Error::ClaimTaken { kind: other.kind.to_owned(), holder: other.holder.clone() });
        }
    }
    Ok(())
}

fn id(what: &str, text: &str) -> Result<(), Error> {
    within(what, text, ID_BYTES)
}

fn within(what: &str, text: &str, longest: usize) -> Result<(), Error> {
    if text.is_empty() || text.len() > longest {
        return Err(Error::Invalid(format!("{what} of {} bytes; allowed are 1 to {longest}", text.len())));
    }
    no_nul(what, text)
}

/// Refuses NUL characters, the only ones that Postgres's `text` cannot store.
fn no_nul(what: &str, text: &str) -> Result<(), Error> {
    if text.contains('\0') { Err(Error::Invalid(format!("{what} with a NUL character"))) } else { Ok(()) }
}

/// Refuses text that is not well-formed JSON. (An escaped `\u0000` within a JSON string is allowed: the column is stored as text.)
fn json(what: &str, text: &str) -> Result<(), Error> {
    serde_json::from_str::<serde::de::IgnoredAny>(text)
        .map(drop)
        .map_err(|error| Error::Invalid(format!("{what} that is not JSON: {error}")))
}
