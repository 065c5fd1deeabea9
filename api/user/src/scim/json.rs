//! Attributes in JSON: SCIM's names are the same in any case (RFC 7643 section 2.1).

use serde_json::{Map, Value};

use super::error::ScimError;

/// A member by its name, in any case.
pub(super) fn get<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    object.iter().find(|(member, _)| member.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// The name under which a member stands, in any case; else the one that is asked for.
pub(super) fn key(object: &Map<String, Value>, name: &str) -> String {
    object.keys().find(|member| member.eq_ignore_ascii_case(name)).cloned().unwrap_or_else(|| name.to_owned())
}

/// Sets a member, under the name that it has.
pub(super) fn set(object: &mut Map<String, Value>, name: &str, value: Value) {
    let key = key(object, name);
    object.insert(key, value);
}

/// Takes a member away. Its place is nobody's, so the order of the others stays.
pub(super) fn remove(object: &mut Map<String, Value>, name: &str) -> Option<Value> {
    let key = key(object, name);
    object.shift_remove(&key)
}

/// The attribute of a path, without the schema that may stand before it: `urn:…:User:userName`. None: that is no schema of ours.
pub(super) fn without_schema(path: &str) -> Option<&str> {
    if !is_urn(path) {
        return Some(path);
    }
    [super::user::SCHEMA, super::group::SCHEMA].iter().find_map(|schema| {
        let rest =
            path.get(..schema.len()).filter(|start| start.eq_ignore_ascii_case(schema)).map(|_| &path[schema.len()..]);
        rest.and_then(|rest| rest.strip_prefix(':'))
    })
}

/// Whether something is the name of a schema, or begins with one.
pub(super) fn is_urn(path: &str) -> bool {
    path.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("urn:"))
}

/// Whether something is so: also in the words of widely used providers, which send it as a text. None: it is neither true nor false.
pub(super) fn flag(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(so) => Some(*so),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// Whether a value of a list is the primary one.
pub(super) fn is_primary(value: &Value) -> bool {
    let primary = value.as_object().and_then(|value| get(value, "primary"));
    primary.and_then(flag) == Some(true)
}

/// A text that is sent: what is null or empty is not there (RFC 7643 section 2.5).
///
/// # Errors
/// When it is something else than a text.
pub(super) fn sent(object: &Map<String, Value>, name: &str) -> Result<Option<String>, ScimError> {
    get(object, name).map_or(Ok(None), |value| sent_text(value, name))
}

/// The same of a value that is called `name`.
pub(super) fn sent_text(value: &Value, name: &str) -> Result<Option<String>, ScimError> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.trim()).filter(|text| !text.is_empty()).map(str::to_owned)),
        _ => Err(ScimError::value(format!("{name} is a text"))),
    }
}

/// A text that is there and not empty.
pub(super) fn text(object: &Map<String, Value>, name: &str) -> Option<String> {
    get(object, name).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
}
