//! Access to attributes in JSON. SCIM's attribute names are case-insensitive (RFC 7643 section 2.1).

use std::collections::HashSet;
use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::error::ScimError;

/// Parses a JSON object in which no object has two members with the same name, compared case-insensitively: otherwise a proxy that
/// inspects the body might use one of them, and we the other.
///
/// # Errors
/// `invalidSyntax`. The detail quotes nothing of the body, which can contain personal data.
pub(super) fn read(body: &[u8]) -> Result<Map<String, Value>, ScimError> {
    match serde_json::from_slice::<UniqueMembers>(body) {
        // The only data error of `UniqueMembers` is a duplicate member.
        Err(error) if error.is_data() => {
            let place = format!("line {}, column {}", error.line(), error.column());
            Err(ScimError::syntax(format!("an attribute appears twice ({place}); names are case-insensitive")))
        }
        _ => serde_json::from_slice(body).map_err(|_| ScimError::syntax("the body is not a JSON object")),
    }
}

/// Checks JSON for duplicate members, and discards the data.
struct UniqueMembers;

impl<'de> Deserialize<'de> for UniqueMembers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for UniqueMembers {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without duplicate members")
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Self, A::Error> {
        while values.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self, A::Error> {
        let mut names = HashSet::new();
        while let Some(name) = members.next_key::<String>()? {
            if !names.insert(name.to_ascii_lowercase()) {
                return Err(A::Error::custom("twice"));
            }
            members.next_value::<Self>()?;
        }
        Ok(self)
    }
}

/// A member by its name, in any case.
pub(super) fn get<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    object.iter().find(|(member, _)| member.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// The name of a member as it is spelled in the object, or as requested if the object does not have it.
pub(super) fn key(object: &Map<String, Value>, name: &str) -> String {
    object.keys().find(|member| member.eq_ignore_ascii_case(name)).cloned().unwrap_or_else(|| name.to_owned())
}

/// Sets a member, in the spelling that the object has already.
pub(super) fn set(object: &mut Map<String, Value>, name: &str, value: Value) {
    let key = key(object, name);
    object.insert(key, value);
}

/// Removes a member, and keeps the order of the others.
pub(super) fn remove(object: &mut Map<String, Value>, name: &str) -> Option<Value> {
    let key = key(object, name);
    object.shift_remove(&key)
}

/// A path without the URN of a schema that may precede it, as in `urn:…:User:userName`. None if the schema is not one of ours.
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

/// Whether a name is, or begins with, the URN of a schema.
pub(super) fn is_urn(path: &str) -> bool {
    path.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("urn:"))
}

/// A Boolean. Strings such as `"True"` are accepted, because widely used providers send them. None if the value is neither true nor false.
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

/// The string value of an attribute, trimmed. A value that is null or empty counts as absent (RFC 7643 section 2.5).
///
/// # Errors
/// `invalidValue` if the value is not a string.
pub(super) fn string(object: &Map<String, Value>, name: &str) -> Result<Option<String>, ScimError> {
    get(object, name).map_or(Ok(None), |value| string_value(value, name))
}

/// As [`string`], for the value of an attribute called `name`.
pub(super) fn string_value(value: &Value, name: &str) -> Result<Option<String>, ScimError> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.trim()).filter(|text| !text.is_empty()).map(str::to_owned)),
        _ => Err(ScimError::value(format!("{name} is a text"))),
    }
}

/// The string value of an attribute, trimmed; none if it is empty or not a string.
pub(super) fn text(object: &Map<String, Value>, name: &str) -> Option<String> {
    get(object, name).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// Formats a time (RFC 7643 section 2.3.5), with milliseconds.
pub(super) fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_member_is_there_twice_in_any_case_and_at_any_depth() {
        let good = r#"{"userName":"a","name":{"givenName":"A"},"emails":[{"value":"x"},{"value":"x"}],"n":[1,-1,1.5,null,true]}"#;
        assert_eq!(read(good.as_bytes()).unwrap().len(), 4);
        for twice in [
            r#"{"userName":"a","userName":"a"}"#,
            r#"{"userName":"a","USERNAME":"b"}"#,
            r#"{"name":{"givenName":"a","givenname":"b"}}"#,
            r#"{"emails":[{"value":"a"},{"value":"a","value":"b"}]}"#,
            "{\"userName\":\"a\",\"user\\u004eame\":\"b\"}",
        ] {
            let refused = read(twice.as_bytes()).unwrap_err();
            assert_eq!(refused.scim_type, Some("invalidSyntax"), "{twice}");
            assert!(refused.detail.starts_with("an attribute appears twice (line 1, column "), "{}", refused.detail);
        }
        for none in ["", "[1]", "7", "{", r#"{"a":1}{"a":1}"#, r#"{"a":1,"a""#] {
            assert_eq!(read(none.as_bytes()).unwrap_err().scim_type, Some("invalidSyntax"), "{none}");
        }
    }
}
