//! Where somebody is reached: e-mail addresses, telephone numbers, postal addresses (RFC 7643 section 4.1.2). Of each list one value is
//! kept, the primary one, else the first; with it, what it is for.

use kernel::PostalAddress;
use serde_json::{Map, Value, json};
use user_aggregates::Label;
use user_commands::LabelField;

use super::error::ScimError;
use super::json::{flag, get, is_primary, sent};

/// What an address or a number is for, where nothing is said. It is the primary one then.
const USUAL_PURPOSE: &str = "work";

/// What is kept of an address or a number besides itself: what it is for, and whether it is the primary one.
pub(super) type Kept<'a> = (Option<&'a str>, Option<bool>);

/// The value of a list that is kept.
///
/// # Errors
/// When it is something else than a list of objects: else what somebody has would be gone, for what can't be read.
pub(super) fn contact<'a>(
    resource: &'a Map<String, Value>,
    name: &str,
) -> Result<Option<&'a Map<String, Value>>, ScimError> {
    let list = match get(resource, name) {
        None | Some(Value::Null) => &[][..],
        Some(Value::Array(list)) if list.iter().all(Value::is_object) => list.as_slice(),
        Some(_) => return Err(ScimError::value(format!("{name} must be a list of objects"))),
    };
    let one = list.iter().find(|value| is_primary(value)).or_else(|| list.first());
    Ok(one.and_then(Value::as_object))
}

/// A text that is said of it.
pub(super) fn part(contact: Option<&Map<String, Value>>, name: &str) -> Result<Option<String>, ScimError> {
    contact.map_or(Ok(None), |contact| sent(contact, name))
}

/// What is said of it besides its value. What is usual is not kept: it is what is shown where nothing is.
pub(super) fn label(contact: Option<&Map<String, Value>>) -> Result<LabelField, ScimError> {
    let Some(contact) = contact else { return Ok(LabelField::default()) };
    Ok(LabelField {
        purpose: sent(contact, "type")?.filter(|purpose| purpose != USUAL_PURPOSE),
        primary: get(contact, "primary").and_then(flag).filter(|primary| !primary),
    })
}

/// The parts of a postal address, those that are said; none: there is no part.
pub(super) fn postal_address(contact: Option<&Map<String, Value>>) -> Result<Option<PostalAddress>, ScimError> {
    let address = PostalAddress {
        street: part(contact, "streetAddress")?,
        locality: part(contact, "locality")?,
        region: part(contact, "region")?,
        postal_code: part(contact, "postalCode")?,
        country: part(contact, "country")?,
    };
    Ok(Some(address).filter(|address| !address.is_empty()))
}

/// What is kept of an address or a number besides itself.
pub(super) fn kept(label: &Label) -> Kept<'_> {
    (label.purpose.as_ref().map(|purpose| purpose.reveal().as_str()), label.primary)
}

/// An address or a number as it is shown: of its kind the only one.
pub(super) fn only(value: &str, kept: Kept<'_>) -> Value {
    only_one(Map::from_iter([("value".to_owned(), value.into())]), kept)
}

/// A postal address as it is shown: how it is written out, and its parts, as far as they are known; none: nothing of it is.
pub(super) fn only_address(address: Option<&PostalAddress>, formatted: Option<&str>, kept: Kept<'_>) -> Option<Value> {
    let mut known = Map::new();
    let mut say = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            known.insert(name.to_owned(), value.into());
        }
    };
    say("formatted", formatted);
    if let Some(address) = address {
        say("streetAddress", address.street.as_deref());
        say("locality", address.locality.as_deref());
        say("region", address.region.as_deref());
        say("postalCode", address.postal_code.as_deref());
        say("country", address.country.as_deref());
    }
    (!known.is_empty()).then(|| only_one(known, kept))
}

fn only_one(mut value: Map<String, Value>, (purpose, primary): Kept<'_>) -> Value {
    value.insert("type".to_owned(), purpose.unwrap_or(USUAL_PURPOSE).into());
    value.insert("primary".to_owned(), primary.unwrap_or(true).into());
    json!([value])
}
