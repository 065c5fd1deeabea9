//! Adds to every operation in the contract what the front and the extractors provide: request headers, refusals, and examples of
//! responses.

use face::HEADERS;
use kernel::Grant;
use serde_json::{Map, Value, json};

use super::refused::{REFUSED, components};

/// The properties of an operation that determine its headers and refusals.
pub(super) struct Operation<'o> {
    pub(super) path: &'o str,
    /// Whether it is a command, with a body.
    pub(super) command: bool,
    /// Whether it accepts `Idempotency-Key`.
    keyed: bool,
    /// Whether it accepts `If-Match`.
    pub(super) conditioned: bool,
    /// The permission that `Occurred-At` needs; none: it does not accept the header.
    backdating: Option<String>,
    /// Whether it needs no token.
    pub(super) public: bool,
}

/// Adds them to the document. `grants`: the permission tables, which show who may backdate; `examples`: the examples of responses, by the
/// names of their schemas.
pub fn add(document: &mut Value, grants: &[Grant], examples: &Map<String, Value>) {
    document["components"]["responses"] = components();
    let Some(paths) = document["paths"].as_object_mut() else { return };
    for (path, operations) in paths {
        for (method, operation) in operations.as_object_mut().into_iter().flatten() {
            let described = Operation::of(path, method, operation, grants);
            if described.command {
                add_headers(operation, &described);
            } else {
                add_not_modified(operation);
            }
            if !described.public {
                add_header(operation, "X-Tenant-Id", TENANT, json!({ "type": "string", "format": "uuid" }));
            }
            if crate::routes::forwarding::is_named_by_request(path) {
                add_header(operation, "X-Service", SERVICE, json!({ "type": "string" }));
            }
            add_examples(operation, examples);
            for refused in REFUSED.iter().filter(|refused| (refused.of)(&described)) {
                operation["responses"][refused.status] =
                    json!({ "$ref": format!("#/components/responses/{}", refused.name) });
            }
        }
    }
}

const TENANT: &str = "The id of the tenant for which the request is meant. Optional: it protects callers with tokens of several tenants from \
                      using the wrong one. If it is not the token's tenant, the request is refused with 403.";
const SERVICE: &str = "The service for which the request is meant, needed where services of the installation run in separate processes and \
                       the path does not name one. Without it, 400 service_unnamed lists the services.";

impl<'o> Operation<'o> {
    /// Derives the properties from the operation's responses and its path: without an ETag in the response, there is no version.
    fn of(path: &'o str, method: &str, operation: &Value, grants: &[Grant]) -> Self {
        let command = matches!(method, "post" | "put" | "delete" | "patch");
        let answers = |status: &str, header: &str| operation["responses"][status]["headers"].get(header).is_some();
        let answer = |header: &str| ["200", "201"].into_iter().any(|status| answers(status, header));
        // An import creates resources, which have no version to match, as do other operations that create.
        let file = operation.pointer("/requestBody/content/text~1csv").is_some();
        let public = operation["security"].as_array().is_none_or(Vec::is_empty);
        Self {
            path,
            command,
            keyed: command && answer("Idempotency-Replayed"),
            conditioned: command && !file && answers("200", "ETag"),
            backdating: backdating(path, grants).filter(|_| command && !public && answer("X-Position")),
            public,
        }
    }
}

/// The permission to backdate in the service of a path; none: no role has it.
fn backdating(path: &str, grants: &[Grant]) -> Option<String> {
    let mut parts = path.split('/').skip(2);
    let (first, second) = (parts.next()?, parts.next());
    // Operations that every service has are under a path of their own, with the service as a parameter.
    if second == Some("{service}") {
        return Some("<service>:history:backdate".to_owned());
    }
    let permission = format!("{first}:history:backdate");
    grants.iter().any(|grant| grant.permission == permission && !grant.roles.is_empty()).then_some(permission)
}

/// Adds an example to each successful response of an operation.
fn add_examples(operation: &mut Value, examples: &Map<String, Value>) {
    for (status, response) in operation["responses"].as_object_mut().into_iter().flatten() {
        if !status.starts_with('2') {
            continue;
        }
        for content in response["content"].as_object_mut().into_iter().flat_map(Map::values_mut) {
            let schema = content["schema"]["$ref"].as_str().and_then(|path| path.rsplit('/').next());
            // A response that is not an object has its example in its inline schema.
            let found = match schema {
                Some(name) => examples.get(name).cloned(),
                None => content["schema"].as_object_mut().and_then(|schema| schema.remove("example")),
            };
            let Some(mut example) = found else { continue };
            // A new resource has version 1.
            if status == "201"
                && let Some(version) = example.get_mut("version")
            {
                *version = json!(1);
            }
            content["example"] = example;
        }
    }
}

pub(super) fn headers(headers: &[(&str, &str)]) -> Value {
    let header = |(name, meaning): &(&str, &str)| {
        ((*name).to_owned(), json!({ "description": meaning, "schema": { "type": "string" } }))
    };
    Value::Object(headers.iter().map(header).collect::<Map<_, _>>())
}

fn add_headers(operation: &mut Value, described: &Operation<'_>) {
    for (name, format, meaning) in HEADERS {
        let mut meaning = meaning.to_owned();
        match name {
            "Idempotency-Key" if !described.keyed => continue,
            "If-Match" if !described.conditioned => continue,
            "Occurred-At" => match &described.backdating {
                None => continue,
                Some(permission) => meaning = format!("{meaning} Needs the permission {permission}."),
            },
            _ => {}
        }
        let mut schema = json!({ "type": "string" });
        if !format.is_empty() {
            schema["format"] = json!(format);
        }
        add_header(operation, name, &meaning, schema);
    }
}

/// Adds `If-None-Match` and the response 304 to an operation whose response has an ETag and may be stored.
fn add_not_modified(operation: &mut Value) {
    let has = |name: &str| operation["responses"]["200"]["headers"].get(name).is_some();
    if !has("ETag") || has("Cache-Control") {
        return;
    }
    let meaning = "ETags of versions that the client already has. If the current version is one of them, the answer is 304 without a body.";
    add_header(operation, "If-None-Match", meaning, json!({ "type": "string" }));
    operation["responses"]["304"] = json!({ "description": "The current version is one that If-None-Match names", "headers": headers(&[("ETag", "The current version")]) });
}

fn add_header(operation: &mut Value, name: &str, meaning: &str, schema: Value) {
    let parameter =
        json!({ "name": name, "in": "header", "required": false, "description": meaning, "schema": schema });
    match operation["parameters"].as_array_mut() {
        Some(existing) => existing.push(parameter),
        None => operation["parameters"] = json!([parameter]),
    }
}
