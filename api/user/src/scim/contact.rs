//! Contact details: e-mail addresses, telephone numbers, postal addresses (RFC 7643 section 4.1.2). Of each list, one value is stored
//! with its label: the primary value, or else the first.

use kernel::PostalAddress;
use serde_json::{Map, Value, json};
use user_aggregates::Label;
use user_commands::LabelField;

use super::error::ScimError;
use super::json::{flag, get, is_primary, string};

/// The purpose (`type`) of a value that has no stored label. Such a value is shown as the primary one.
const USUAL_PURPOSE: &str = "work";

/// The label of a contact detail: its purpose (`type`), and whether it is the primary one.
pub(super) type LabelParts<'a> = (Option<&'a str>, Option<bool>);

/// The value of a list that is stored.
///
/// # Errors
/// `invalidValue` if the attribute is not a list of objects: otherwise unreadable data would remove the stored value.
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

/// A sub-attribute of a contact detail.
pub(super) fn part(contact: Option<&Map<String, Value>>, name: &str) -> Result<Option<String>, ScimError> {
    contact.map_or(Ok(None), |contact| string(contact, name))
}

/// The label of a contact detail. Defaults are not stored, since they are shown for what is not stored.
pub(super) fn label(contact: Option<&Map<String, Value>>) -> Result<LabelField, ScimError> {
    let Some(contact) = contact else { return Ok(LabelField::default()) };
    Ok(LabelField {
        purpose: string(contact, "type")?.filter(|purpose| purpose != USUAL_PURPOSE),
        primary: get(contact, "primary").and_then(flag).filter(|primary| !primary),
    })
}

/// The components of a postal address; none if no component has a value.
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

/// The parts of a stored label.
pub(super) fn label_parts(label: &Label) -> LabelParts<'_> {
    (label.purpose.as_ref().map(|purpose| purpose.reveal().as_str()), label.primary)
}

/// An e-mail address or telephone number in SCIM: a list with one element.
pub(super) fn value_list(value: &str, label: LabelParts<'_>) -> Value {
    one_element(Map::from_iter([("value".to_owned(), value.into())]), label)
}

/// A postal address in SCIM: a list with one element that has the formatted address and the components, as far as they are known; none if
/// nothing is known.
pub(super) fn address_list(
    address: Option<&PostalAddress>,
    formatted: Option<&str>,
    label: LabelParts<'_>,
) -> Option<Value> {
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
    (!known.is_empty()).then(|| one_element(known, label))
}

fn one_element(mut value: Map<String, Value>, (purpose, primary): LabelParts<'_>) -> Value {
    value.insert("type".to_owned(), purpose.unwrap_or(USUAL_PURPOSE).into());
    value.insert("primary".to_owned(), primary.unwrap_or(true).into());
    json!([value])
}
