//! The catalogue in REST.

use std::sync::Arc;

use face::{Authenticated, Plain, Problem};
use kernel::{EventType, Refusal};
use poem_openapi::OpenApi;
use poem_openapi::param::Path;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::{description, example};
use crate::Tag;

/// The operations on the catalogue.
pub struct Catalogue {
    types: Arc<[EventType]>,
}

impl Catalogue {
    /// A catalogue of these types.
    pub fn new(types: &Arc<[EventType]>) -> Self {
        Self { types: types.clone() }
    }
}

/// Every event type and version that the log can contain.
#[derive(Debug, Serialize, JsonSchema)]
struct EventTypes {
    /// Ordered by service and aggregate; current versions come before retired ones.
    types: Vec<Summary>,
}

/// A version of an event type.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "EventTypeSummary")]
struct Summary {
    /// The name of the event type, such as `crm.lead.qualified`.
    r#type: String,
    /// The version of the payload's format, counted from 1.
    version: u32,
    /// The type of aggregate to which the event belongs, such as `crm.lead`.
    aggregate_type: String,
    /// A description of the event.
    description: String,
    /// Whether this version is retired: stored events keep it, but new events use a later version.
    retired: bool,
}

/// A version of an event type, with its schema.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "EventType")]
struct Detail {
    #[serde(flatten)]
    summary: Summary,
    /// The JSON Schema (2020-12) of the payload.
    schema: Value,
    /// An example of a payload.
    example: Value,
}

impl Summary {
    /// An existing event type, for the examples of the contract.
    fn captured() -> Self {
        Self {
            r#type: "crm.lead.captured".to_owned(),
            version: 1,
            aggregate_type: "crm.lead".to_owned(),
            description: "Somebody showed interest.".to_owned(),
            retired: false,
        }
    }
}

impl face::Example for EventTypes {
    fn example() -> Self {
        Self { types: vec![Summary::captured()] }
    }
}

impl face::Example for Detail {
    fn example() -> Self {
        let name = json!({ "type": "object", "required": ["name"], "properties": { "name": { "type": "string" } } });
        Self { summary: Summary::captured(), schema: name, example: json!({ "name": "Grace Hopper" }) }
    }
}

impl From<&EventType> for Summary {
    fn from(event: &EventType) -> Self {
        Self {
            r#type: event.name.to_owned(),
            version: event.version,
            aggregate_type: event.aggregate_type.to_owned(),
            description: description(event).to_owned(),
            retired: event.retired,
        }
    }
}

#[OpenApi(tag = "Tag::Events")]
impl Catalogue {
    /// List all event types
    ///
    /// Any valid token is sufficient; no permission is needed.
    #[oai(path = "/v1/events/types", method = "get", operation_id = "listEventTypes")]
    async fn list(&self, _caller: Authenticated) -> Result<Plain<EventTypes>, Problem> {
        Ok(Plain(EventTypes { types: self.types.iter().map(Summary::from).collect() }))
    }

    /// Get an event type's JSON Schema and an example
    ///
    /// Any valid token is sufficient; no permission is needed.
    #[oai(path = "/v1/events/types/:type/:version", method = "get", operation_id = "getEventType")]
    async fn get(
        &self,
        _caller: Authenticated,
        r#type: Path<String>,
        version: Path<u32>,
    ) -> Result<Plain<Detail>, Problem> {
        let found = self.types.iter().find(|event| event.name == r#type.0 && event.version == version.0);
        let Some(event) = found else { return Err(self.unknown(&r#type.0, version.0).into()) };
        let schema = event.schema.as_value();
        Ok(Plain(Detail { summary: event.into(), schema: schema.clone(), example: example(schema) }))
    }

    fn unknown(&self, name: &str, version: u32) -> Refusal {
        let versions: Vec<u32> =
            self.types.iter().filter(|event| event.name == name).map(|event| event.version).collect();
        let allowed = if versions.is_empty() {
            "GET /v1/events/types lists all types".to_owned()
        } else {
            format!("it has the versions {versions:?}")
        };
        Refusal::not_found("not_found", format!("there is no event type {name:?} version {version}; {allowed}"))
            .with("resource", "event_type")
            .with("versions", versions)
    }
}
