//! Adds to the contract what is the same for all operations: descriptions of path parameters, and the headers of every response.

use serde_json::{Map, Value, json};

/// Descriptions of path parameters that are not ids of resources.
const NAMED: [(&str, &str); 6] = [
    ("service", "The service, such as `crm`."),
    ("role", "The role's name."),
    ("queue", "The queue's name."),
    ("kid", "The key's id, which is in the header of each token that it signed."),
    ("type", "The event type's name, such as `crm.lead.captured`."),
    ("version", "The version of the event type's schema, from 1."),
];

/// The headers of responses: name, description, and whether refusals have it, too.
const HEADERS: [(&str, &str, bool); 4] = [
    ("X-Request-Id", "The request's id. It is also the correlation id of everything that the request causes.", true),
    ("RateLimit-Limit", "Maximum number of requests in a burst.", false),
    ("RateLimit-Remaining", "Number of requests left in the burst.", false),
    ("RateLimit-Reset", "Seconds until more requests are allowed; 0: some are left.", false),
];

/// Adds them to the document.
pub fn add(document: &mut Value) {
    let header = |(name, meaning, _): (&str, &str, bool)| {
        (name.to_owned(), json!({ "description": meaning, "schema": { "type": "string" } }))
    };
    document["components"]["headers"] = Value::Object(HEADERS.map(header).into_iter().collect());
    for response in document["components"]["responses"].as_object_mut().into_iter().flat_map(Map::values_mut) {
        add_headers(response, false);
    }
    for operations in document["paths"].as_object_mut().into_iter().flat_map(Map::values_mut) {
        for operation in operations.as_object_mut().into_iter().flat_map(Map::values_mut) {
            for parameter in operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
                describe(parameter);
            }
            if let Some(responses) = operation["responses"].as_object_mut() {
                // Sorted by status: success, then refusals, then the default.
                responses.sort_keys();
                for (status, response) in responses.iter_mut().filter(|(_, response)| response.get("$ref").is_none()) {
                    add_headers(response, status.starts_with('2'));
                }
            }
        }
    }
}

fn describe(parameter: &mut Value) {
    if parameter["in"] != "path" || parameter.get("description").is_some() {
        return;
    }
    let name = parameter["name"].as_str().unwrap_or_default();
    let said = NAMED.iter().find(|(named, _)| *named == name).map(|(_, meaning)| (*meaning).to_owned());
    parameter["description"] = said.unwrap_or_else(|| format!("The {}'s id.", name.replace('_', " "))).into();
}

fn add_headers(response: &mut Value, done: bool) {
    for (name, ..) in HEADERS.iter().filter(|(.., always)| done || *always) {
        response["headers"][*name] = json!({ "$ref": format!("#/components/headers/{name}") });
    }
}
