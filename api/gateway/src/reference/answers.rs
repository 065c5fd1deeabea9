//! What the front adds to every operation, written into the contract: headers that are understood, and refusals.

use face::HEADERS;
use kernel::Grant;
use serde_json::{Map, Value, json};

/// A refusal that the contract names by itself; any other is a problem document, too (`default`).
struct Refused {
    status: &'static str,
    name: &'static str,
    meaning: &'static str,
    /// Headers that go with it.
    headers: &'static [(&'static str, &'static str)],
    /// Which operations it concerns.
    of: fn(&Operation<'_>) -> bool,
}

/// What decides on an operation's headers and refusals.
struct Operation<'o> {
    path: &'o str,
    /// It has parameters of its own, in its path or its query string.
    parameters: bool,
    /// It changes something, with what stands in its body.
    command: bool,
    /// The same key twice is one request.
    keyed: bool,
    /// It can be conditioned on a version.
    conditioned: bool,
    /// What saying when it happened needs.
    backdating: Option<String>,
    /// It needs no token.
    public: bool,
}

const RETRY_AFTER: (&str, &str) = ("Retry-After", "After so many seconds it is worth another try");

const REFUSED: [Refused; 11] = [
    Refused {
        status: "400",
        name: "BadRequest",
        meaning: "The request can't be read, or a value in it is not allowed: errors names each by its JSON pointer",
        headers: &[],
        of: |operation| operation.command || operation.parameters,
    },
    Refused {
        status: "401",
        name: "Unauthenticated",
        meaning: "No valid token",
        headers: &[("WWW-Authenticate", "Bearer")],
        of: |operation| !operation.public,
    },
    Refused {
        status: "403",
        name: "Forbidden",
        meaning: "The token's roles do not give the permission that permission names",
        headers: &[],
        of: |operation| !operation.public,
    },
    Refused {
        status: "404",
        name: "NotFound",
        meaning: "What the path names is unknown, or another tenant's: the two are not told apart",
        headers: &[],
        of: |operation| operation.path.contains('{'),
    },
    Refused {
        status: "409",
        name: "Conflict",
        meaning: "The state of things does not allow it now, or a unique value is taken",
        headers: &[],
        of: |operation| operation.command,
    },
    Refused {
        status: "412",
        name: "VersionDiffers",
        meaning: "If-Match names a version that is not the current one",
        headers: &[],
        of: |operation| operation.conditioned,
    },
    Refused {
        status: "413",
        name: "TooLarge",
        meaning: "The body is too large",
        headers: &[],
        of: |operation| operation.command,
    },
    Refused {
        status: "415",
        name: "UnsupportedMedia",
        meaning: "A content type, charset or encoding that is not read here",
        headers: &[],
        of: |operation| operation.command,
    },
    Refused {
        status: "422",
        name: "Unprocessable",
        meaning: "The body names what is not there (or another tenant's), or the idempotency key was used for another request",
        headers: &[],
        of: |operation| operation.command,
    },
    Refused {
        status: "429",
        name: "RateLimited",
        meaning: "Too many requests of this token or tenant",
        headers: &[
            RETRY_AFTER,
            ("RateLimit-Limit", "How many may be sent at once"),
            ("RateLimit-Remaining", "How many of these are left"),
            ("RateLimit-Reset", "After how many seconds there are more"),
        ],
        of: |_| true,
    },
    Refused {
        status: "503",
        name: "Unavailable",
        meaning: "A part that is needed does not answer, or has too much to do",
        headers: &[RETRY_AFTER],
        of: |_| true,
    },
];

/// Writes them into the document. `grants`: the permission tables, which say who may say when something happened.
pub fn add(document: &mut Value, grants: &[Grant]) {
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
            if crate::forwarding::is_named_by_request(path) {
                add_header(operation, "X-Service", SERVICE, json!({ "type": "string" }));
            }
            for refused in REFUSED.iter().filter(|refused| (refused.of)(&described)) {
                operation["responses"][refused.status] =
                    json!({ "$ref": format!("#/components/responses/{}", refused.name) });
            }
        }
    }
}

const TENANT: &str = "The tenant that is meant: for callers of several, who may take the wrong token. Nobody has to send it; one that is not \
                      the token's gets 403.";
const SERVICE: &str = "The service that is meant, where services of the installation run apart, as the parameter service says it where there is one; \
                       without it 400 service_unnamed names those that there are.";

impl<'o> Operation<'o> {
    /// What the operation's own answers and its place say of it: an answer without a version is of what has none.
    fn of(path: &'o str, method: &str, operation: &Value, grants: &[Grant]) -> Self {
        let command = matches!(method, "post" | "put" | "delete" | "patch");
        let answers = |status: &str, header: &str| operation["responses"][status]["headers"].get(header).is_some();
        let answer = |header: &str| ["200", "201"].into_iter().any(|status| answers(status, header));
        // A file makes new things, which have no version to match; nor has anything that is made.
        let file = operation.pointer("/requestBody/content/text~1csv").is_some();
        let public = operation["security"].as_array().is_none_or(Vec::is_empty);
        Self {
            path,
            parameters: operation["parameters"].as_array().is_some_and(|parameters| !parameters.is_empty()),
            command,
            keyed: command && answer("Idempotency-Replayed"),
            conditioned: command && !file && answers("200", "ETag"),
            backdating: backdating(path, grants).filter(|_| command && !public && answer("X-Position")),
            public,
        }
    }
}

/// The permission to say when something happened, in the service that a path is of; none where nobody has it.
fn backdating(path: &str, grants: &[Grant]) -> Option<String> {
    let mut parts = path.split('/').skip(2);
    let (first, second) = (parts.next()?, parts.next());
    // What every service has stands under a word of its own.
    if second == Some("{service}") {
        return Some("<service>:history:backdate".to_owned());
    }
    let permission = format!("{first}:history:backdate");
    grants.iter().any(|grant| grant.permission == permission && !grant.roles.is_empty()).then_some(permission)
}

fn components() -> Value {
    let content = json!({ "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } });
    let response = |refused: &Refused| {
        let mut response = json!({ "description": refused.meaning, "content": content });
        if !refused.headers.is_empty() {
            response["headers"] = headers(refused.headers);
        }
        (refused.name.to_owned(), response)
    };
    Value::Object(REFUSED.iter().map(response).collect())
}

fn headers(headers: &[(&str, &str)]) -> Value {
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

/// What has a version is not sent again to those who have it.
fn add_not_modified(operation: &mut Value) {
    if operation.pointer("/responses/200/headers/ETAG").or(operation.pointer("/responses/200/headers/ETag")).is_none() {
        return;
    }
    let meaning =
        "The ETags of versions that are here already; if it is still one of these, the answer is 304 without a body.";
    add_header(operation, "If-None-Match", meaning, json!({ "type": "string" }));
    operation["responses"]["304"] = json!({ "description": "It is still the version that If-None-Match names", "headers": headers(&[("ETag", "The thing's version")]) });
}

fn add_header(operation: &mut Value, name: &str, meaning: &str, schema: Value) {
    let parameter =
        json!({ "name": name, "in": "header", "required": false, "description": meaning, "schema": schema });
    match operation["parameters"].as_array_mut() {
        Some(existing) => existing.push(parameter),
        None => operation["parameters"] = json!([parameter]),
    }
}
