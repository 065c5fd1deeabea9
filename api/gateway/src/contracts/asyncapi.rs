//! The contract of the events on the bus, as AsyncAPI 3.0.

use kernel::{EventType, Service};
use serde_json::{Map, Value, json};

use super::event_path;
use crate::domains;

/// The AsyncAPI document.
pub fn document() -> Value {
    let mut channels = Map::new();
    let mut operations = Map::new();
    let mut messages = Map::new();
    for domain in domains::all() {
        for event in (domain.event_types)() {
            let name = format!("{}.v{}", event.name, event.version);
            messages.insert(name.clone(), message(&event));
            let channel = channels.entry(event.name).or_insert_with(|| channel(domain.service, &event));
            channel["messages"][&name] = json!({ "$ref": format!("#/components/messages/{name}") });
            operations.entry(format!("told.{}", event.name)).or_insert_with(
                || json!({ "action": "send", "channel": { "$ref": format!("#/channels/{}", event.name) } }),
            );
        }
    }
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Inopsio events",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Each service has a JetStream stream (EVENTS_CRM, …) with all of its events. An event's stream sequence \
                            equals its position in the log. Headers are CloudEvents 1.0 in binary mode; the body is the \
                            event as stored.",
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": { "messages": messages, "schemas": { "EventHeaders": headers() } },
    })
}

fn channel(service: Service, event: &EventType) -> Value {
    let word = |wire: &str| wire.rsplit('.').next().unwrap_or_default().to_owned();
    let (aggregate, what) = (word(event.aggregate_type), word(event.name));
    json!({
        "address": format!("evt.{service}.{{tenant}}.{aggregate}.{what}"),
        "parameters": { "tenant": { "description": "The tenant's id, a UUID." } },
        "messages": {},
    })
}

fn message(event: &EventType) -> Value {
    let schema = event.schema.as_value();
    let mut message = json!({
        "name": event.name,
        "title": format!("{} version {}", event.name, event.version),
        "headers": { "$ref": "#/components/schemas/EventHeaders" },
        "payload": { "$ref": format!("./{}", event_path(event)) },
    });
    if let Some(summary) = schema.get("description") {
        message["summary"] = summary.clone();
    }
    message
}

fn headers() -> Value {
    let text = |description: &str| json!({ "type": "string", "description": description });
    let time = |description: &str| json!({ "type": "string", "format": "date-time", "description": description });
    json!({
        "type": "object",
        "required": ["ce-specversion", "ce-id", "ce-source", "ce-type", "ce-time", "ce-subject", "ce-tenant"],
        "properties": {
            "ce-specversion": { "type": "string", "const": "1.0" },
            "ce-id": text("The event's id, a UUID of version 7."),
            "ce-source": text("/inopsio/<service>"),
            "ce-type": text("The event's wire name."),
            "ce-time": time("When the event happened."),
            "ce-subject": text("The aggregate's id."),
            "ce-tenant": text("The tenant's id."),
            "ce-aggregatetype": text("<service>.<aggregate>"),
            "ce-sequence": text("The event's sequence number in its aggregate's stream, from 1."),
            "ce-typeversion": text("Version of the payload's schema, from 1."),
            "ce-recordedtime": time("When the log recorded the event."),
            "content-type": { "type": "string", "const": "application/json" },
            "inopsio-metadata": text("The event's metadata (who, why, when), as JSON as stored."),
            "traceparent": text("W3C trace context of the request that caused the event."),
        },
    })
}
