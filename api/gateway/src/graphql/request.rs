//! Parses GraphQL requests (the members of GraphQL over HTTP).

use juniper::InputValue;
use juniper::http::GraphQLRequest;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

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
    _extensions: Option<serde_json::Map<String, serde_json::Value>>,
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

fn variables<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<InputValue>, D::Error> {
    match Option::<InputValue>::deserialize(deserializer)? {
        None | Some(InputValue::Null) => Ok(None),
        Some(object @ InputValue::Object(_)) => Ok(Some(object)),
        Some(_) => Err(D::Error::custom("invalid type: expected an object of variables by their names")),
    }
}
