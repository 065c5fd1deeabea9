//! Parses GraphQL requests (the members of GraphQL over HTTP).

use juniper::InputValue;
use juniper::http::GraphQLRequest;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// A request as clients send it. Unknown members are refused, as everywhere: one may be a misspelt `variables`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Sent {
    query: String,
    #[serde(default)]
    operation_name: Option<String>,
    #[serde(default, deserialize_with = "variables")]
    variables: Option<InputValue>,
    /// Protocol extensions, of which none are supported.
    #[serde(default, rename = "extensions")]
    _extensions: Option<serde_json::Map<String, Value>>,
}

/// A well-formed request.
#[derive(Debug, Deserialize)]
#[serde(from = "Sent")]
pub struct ParsedRequest(pub GraphQLRequest);

impl From<Sent> for ParsedRequest {
    fn from(sent: Sent) -> Self {
        // Some clients send an empty name if the document has one operation only. No operation is called that.
        let name = sent.operation_name.filter(|name| !name.is_empty());
        Self(GraphQLRequest::new(sent.query, name, sent.variables))
    }
}

/// Whether a body has only the hash of a query, as Apollo's clients send it at first ("automatic persisted queries").
pub fn has_hash_only(body: &[u8]) -> bool {
    let Ok(Value::Object(members)) = serde_json::from_slice(body) else { return false };
    let is_hashed = |extensions: &Value| extensions.get("persistedQuery").is_some_and(Value::is_object);
    members.get("query").is_none_or(Value::is_null) && members.get("extensions").is_some_and(is_hashed)
}

fn variables<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<InputValue>, D::Error> {
    match Option::<InputValue>::deserialize(deserializer)? {
        None | Some(InputValue::Null) => Ok(None),
        Some(object @ InputValue::Object(_)) => Ok(Some(object)),
        Some(_) => Err(D::Error::custom("invalid type: expected an object of variables by their names")),
    }
}
