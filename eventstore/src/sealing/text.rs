//! How what is to be sealed, and what is, stands in JSON.
//!
//! A marked value is `{"personal":value}`, and `{"personal":value,"of":"type/id"}` where it is a person's who has a stream of their own.
//! A sealed one is `{"sealed":"v1.…"}`, and `{"sealed":"v1.…@type/id"}`.

use std::str;

use bytes::Bytes;
use serde::de::IgnoredAny;

use crate::Error;

/// How JSON shows that there is something to seal, and to open. (In a text a quotation mark would have a backslash.)
pub(super) const TO_SEAL: &str = "{\"personal\":";
const TO_OPEN: &str = "{\"sealed\":\"v1.";
/// What comes before a sealed value, and after it.
const OPENING: &str = "{\"sealed\":\"";
const CLOSING: &str = "\"}";
/// What stands for a value of who is erased.
const GONE: &str = "{\"sealed\":\"\"}";
/// Whose a marked value is, before the text that says it.
const OF: &str = ",\"of\":\"";
/// The same, of a sealed one.
const AT: char = '@';

/// What becomes of a marked value.
pub(super) enum Written {
    /// It stands there as it is.
    Clear,
    /// Its ciphertext does.
    Sealed(String),
    /// Nothing does any more.
    Gone,
}

/// JSON with each marked value written as `write` says, of the value and whose it is.
pub(super) fn seal<E: From<serde_json::Error>>(
    json: &str,
    mut write: impl FnMut(&str, Option<&str>) -> Result<Written, E>,
) -> Result<String, E> {
    let (mut sealed, mut rest) = (String::with_capacity(json.len() * 2), json);
    while let Some(at) = rest.find(TO_SEAL) {
        let value = &rest[at + TO_SEAL.len()..];
        let (value, after) = value.split_at(length(value)?);
        // An object with other members is none of ours: it only begins like one.
        let Some((of, after)) = end_of_mark(after) else {
            sealed.push_str(&rest[..at + TO_SEAL.len()]);
            rest = &rest[at + TO_SEAL.len()..];
            continue;
        };
        sealed.push_str(&rest[..at]);
        match write(value, of)? {
            Written::Clear => sealed.push_str(value),
            Written::Gone => sealed.push_str(GONE),
            Written::Sealed(text) => sealed.push_str(&written(&text, of)),
        }
        rest = after;
    }
    sealed.push_str(rest);
    Ok(sealed)
}

/// A sealed value as it stands in JSON: its ciphertext, and whose it is.
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

/// Whose a marked value is, and what comes after it.
fn end_of_mark(after: &str) -> Option<(Option<&str>, &str)> {
    if let Some(after) = after.strip_prefix('}') {
        return Some((None, after));
    }
    let (of, after) = after.strip_prefix(OF)?.split_once(CLOSING)?;
    let is_name = of.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._/-".contains(&byte));
    is_name.then_some((Some(of), after))
}

/// Whether something in JSON is sealed.
pub(super) fn is_sealed(json: &[u8]) -> bool {
    // Texts of the log are UTF-8; what is none has nothing that we sealed.
    str::from_utf8(json).is_ok_and(|json| json.contains(TO_OPEN))
}

/// JSON with each sealed value opened as `open` says, of its ciphertext and whose it is; what is not opened stays.
///
/// # Errors
/// When it is no text.
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
        // What was sealed under another key, or is no more than looks like it, stays.
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

/// How long the JSON value is that a text begins with.
fn length(json: &str) -> serde_json::Result<usize> {
    let mut values = serde_json::Deserializer::from_str(json).into_iter::<IgnoredAny>();
    values.next().transpose()?;
    Ok(values.byte_offset())
}
