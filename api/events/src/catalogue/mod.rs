//! The catalogue of event types: every type and version that the log can contain, with its JSON Schema and an example.

mod example;
mod page;
mod rest;

pub use example::example;
pub use page::page;
pub use rest::Catalogue;

use kernel::EventType;

/// The description of an event type, from its declaration.
fn description(event: &EventType) -> &str {
    event.schema.get("description").and_then(serde_json::Value::as_str).unwrap_or_default()
}
