//! What the front adds to every operation, written into the contract: headers that are understood, and refusals.

use face::HEADERS;
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

/// What decides on an operation's refusals.
struct Operation<'o> {
    path: &'o str,
    /// It changes something, with what stands in its body.
    command: bool,
    /// It can be conditioned on a version.
    conditioned: bool,
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
        of: |operation| operation.command || operation.path.contains('{'),
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

/// Writes them into the document.
pub fn add(document: &mut Value) {
    document["components"]["responses"] = components();
    let Some(paths) = document["paths"].as_object_mut() else { return };
    for (path, operations) in paths {
        for (method, operation) in operations.as_object_mut().into_iter().flatten() {
            let command = matches!(method.as_str(), "post" | "put" | "delete" | "patch");
            // A file makes new things, which have no version to match.
            let file = operation.pointer("/requestBody/content/text~1csv").is_some();
            let public = operation["security"].as_array().is_none_or(Vec::is_empty);
            let described = Operation { path, command, conditioned: command && !file, public };
            if command {
                add_headers(operation, described.conditioned);
            } else {
                add_not_modified(operation);
            }
            for refused in REFUSED.iter().filter(|refused| (refused.of)(&described)) {
                operation["responses"][refused.status] =
                    json!({ "$ref": format!("#/components/responses/{}", refused.name) });
            }
        }
    }
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

fn add_headers(operation: &mut Value, conditioned: bool) {
    for (name, format, meaning) in HEADERS.iter().filter(|(name, ..)| conditioned || *name != "If-Match") {
        let mut schema = json!({ "type": "string" });
        if !format.is_empty() {
            schema["format"] = json!(format);
        }
        add_header(operation, name, meaning, schema);
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
