//! The JSON forms of personal values that are marked to be sealed, and of sealed values.
//!
//! A marked value is `{"personal":value}`, or `{"personal":value,"of":"type/id"}` if its data subject has a stream of their own. A sealed
//! value is `{"sealed":"v1.…"}`, or `{"sealed":"v1.…@type/id"}`.

use std::str;

use bytes::Bytes;
use serde::de::IgnoredAny;

use crate::Error;

/// The beginnings of marked and of sealed values in JSON. (Within a JSON string, the quotation marks would be escaped.)
pub(super) const TO_SEAL: &str = "{\"personal\":";
const TO_OPEN: &str = "{\"sealed\":\"v1.";
/// The text before and after a sealed value.
const OPENING: &str = "{\"sealed\":\"";
const CLOSING: &str = "\"}";
/// The sealed form of a value whose data subject was erased.
const GONE: &str = "{\"sealed\":\"\"}";
/// The text before the data subject's name in a marked value.
const OF: &str = ",\"of\":\"";
/// The separator before the data subject's name in a sealed value.
const AT: char = '@';

/// What a marked value is replaced by.
pub(super) enum Replacement {
    /// The value itself.
    Clear,
    /// Its ciphertext.
    Sealed(String),
    /// The form for erased data subjects.
    Gone,
}

/// Replaces each marked value in JSON. `write` gets the value and the name of its data subject, and decides how it is written.
pub(super) fn seal<E: From<serde_json::Error>>(
    json: &str,
    mut write: impl FnMut(&str, Option<&str>) -> Result<Replacement, E>,
) -> Result<String, E> {
    let (mut sealed, mut rest) = (String::with_capacity(json.len() * 2), json);
    while let Some(at) = rest.find(TO_SEAL) {
        let value = &rest[at + TO_SEAL.len()..];
        let (value, after) = value.split_at(length(value)?);
        // An object with other members is not one of ours; it only begins like one.
        let Some((of, after)) = end_of_mark(after) else {
            sealed.push_str(&rest[..at + TO_SEAL.len()]);
            rest = &rest[at + TO_SEAL.len()..];
            continue;
        };
        sealed.push_str(&rest[..at]);
        match write(value, of)? {
            Replacement::Clear => sealed.push_str(value),
            Replacement::Gone => sealed.push_str(GONE),
            Replacement::Sealed(text) => sealed.push_str(&written(&text, of)),
        }
        rest = after;
    }
    sealed.push_str(rest);
    Ok(sealed)
}

/// The JSON of a sealed value: its ciphertext, and the name of its data subject.
pub(super) fn written(text: &str, of: Option<&str>) -> String {
    let mut written = String::with_capacity(OPENING.len() + text.len() + CLOSING.len());
    written.extend([OPENING, text]);
    if let Some(of) = of {
        written.push(AT);
        written.push_str(of);
    }
    written.push_str(CLOSING);
    written
}

/// Parses the rest of a marked value after the value itself: returns the name of its data subject, and the text after it.
fn end_of_mark(after: &str) -> Option<(Option<&str>, &str)> {
    if let Some(after) = after.strip_prefix('}') {
        return Some((None, after));
    }
    let (of, after) = after.strip_prefix(OF)?.split_once(CLOSING)?;
    let is_name = of.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._/-".contains(&byte));
    is_name.then_some((Some(of), after))
}

/// Whether JSON contains a sealed value.
pub(super) fn is_sealed(json: &[u8]) -> bool {
    // The log contains UTF-8 only; other bytes contain nothing that was sealed.
    str::from_utf8(json).is_ok_and(|json| json.contains(TO_OPEN))
}

/// Replaces each sealed value in JSON by what `open` returns for its ciphertext and the name of its data subject. `None` leaves the value
/// sealed.
///
/// # Errors
/// If the JSON is not UTF-8.
pub(super) fn open(json: &[u8], mut open: impl FnMut(&str, Option<&str>) -> Option<Vec<u8>>) -> Result<Bytes, Error> {
    let unreadable = |error: str::Utf8Error| Error::Corrupt(format!("a payload is no text: {error}"));
    let mut rest = str::from_utf8(json).map_err(unreadable)?;
    let mut opened = String::with_capacity(json.len());
    while let Some(at) = rest.find(TO_OPEN) {
        let (before, text) = (&rest[..at], &rest[at + OPENING.len()..]);
        opened.push_str(before);
        let value = text.split_once(CLOSING).and_then(|(text, after)| {
            let (text, of) = text.split_once(AT).map_or((text, None), |(text, of)| (text, Some(of)));
            Some((open(text, of)?, after))
        });
        // Values under a key that is not available, and text that only looks like a sealed value, stay.
        let Some((clear, after)) = value else {
            opened.push_str(OPENING);
            rest = text;
            continue;
        };
        opened.push_str(str::from_utf8(&clear).map_err(unreadable)?);
        rest = after;
    }
    opened.push_str(rest);
    Ok(opened.into())
}

/// The length of the JSON value at the beginning of a text, in bytes.
fn length(json: &str) -> serde_json::Result<usize> {
    let mut values = serde_json::Deserializer::from_str(json).into_iter::<IgnoredAny>();
    values.next().transpose()?;
    Ok(values.byte_offset())
}
