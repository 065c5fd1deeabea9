//! What the log refuses before it reaches the database.

use std::collections::HashSet;
use std::sync::Arc;

use chrono::Datelike;

use super::{Append, ClaimAct, Error, NewEvent};
use crate::Settings;

/// The longest id of an aggregate or a holder, in bytes: ids are parts of index keys.
const ID_BYTES: usize = 255;
/// The longest id of a command: as much, and what tells apart the parts of a command that is carried out in several.
const COMMAND_ID_BYTES: usize = ID_BYTES + 32;

/// Refuses what Postgres would refuse (or worse, would take) later, so that an append cannot spoil its batch.
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
            // The events of a command share their metadata: once is enough.
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

/// NUL is the one character that Postgres's text cannot hold.
fn no_nul(what: &str, text: &str) -> Result<(), Error> {
    if text.contains('\0') { Err(Error::Invalid(format!("{what} with a NUL character"))) } else { Ok(()) }
}

/// Well-formed JSON. (As text inside a JSON string, an escaped `\u0000` may stand: the column keeps the bytes.)
fn json(what: &str, text: &str) -> Result<(), Error> {
    serde_json::from_str::<serde::de::IgnoredAny>(text)
        .map(drop)
        .map_err(|error| Error::Invalid(format!("{what} that is not JSON: {error}")))
}
