//! What the front adds to every operation, written into the contract: headers that are understood, refusals, and what answers may look
//! like.

use face::{HEADERS, Problem, example};
use kernel::{FieldError, Grant, Refusal};
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
    /// Some that clients meet: each is a refusal as the program makes it.
    examples: fn() -> Vec<Refusal>,
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
        examples: || {
            let detail = "not an e-mail address like ada@example.com".to_owned();
            let email = FieldError { pointer: "/email".to_owned(), code: "email", detail };
            let unknown = "the parameter state is not allowed like that: allowed are parked, applied, discarded";
            vec![
                Refusal::fields(vec![email]),
                Refusal::invalid(
                    "json_malformed",
                    "the body is not JSON: EOF while parsing a value at line 1 column 8",
                )
                .with("line", 1)
                .with("column", 8),
                Refusal::invalid("parameter_invalid", unknown).with("parameter", "state"),
            ]
        },
    },
    Refused {
        status: "401",
        name: "Unauthenticated",
        meaning: "No valid token",
        headers: &[("WWW-Authenticate", "Bearer")],
        of: |operation| !operation.public,
        examples: || {
            vec![
                Refusal::unauthenticated(
                    "token_missing",
                    "this needs a token: send the header Authorization: Bearer <token>",
                ),
                Refusal::unauthenticated("token_expired", "the token has expired; ask for a new one"),
            ]
        },
    },
    Refused {
        status: "403",
        name: "Forbidden",
        meaning: "The token's roles do not give the permission that permission names",
        headers: &[],
        of: |operation| !operation.public,
        examples: || {
            let detail = "this needs the permission crm:lead:write, which none of the caller's roles gives";
            let missing = Refusal::forbidden("permission_missing", detail).with("permission", "crm:lead:write");
            let detail = "the header X-Tenant-Id names another tenant than the token is of; send the token of that tenant, or no such header";
            vec![missing, Refusal::forbidden("tenant_differs", detail)]
        },
    },
    Refused {
        status: "404",
        name: "NotFound",
        meaning: "What the path names is unknown, or another tenant's: the two are not told apart",
        headers: &[],
        of: |operation| operation.path.contains('{'),
        examples: || {
            let detail = format!("there is no crm.lead {}", example::id(1));
            vec![Refusal::not_found("not_found", detail).with("resource", "crm.lead")]
        },
    },
    Refused {
        status: "409",
        name: "Conflict",
        meaning: "The state of things does not allow it now, or a unique value is taken",
        headers: &[],
        of: |operation| operation.command,
        examples: || {
            let detail = "a lead that is new can't take the step qualify; allowed: change_details, assign, disqualify";
            let step = Refusal::conflict("lead_step_not_allowed", detail)
                .with("step", "qualify")
                .with("state", "new")
                .with("allowed", json!(["change_details", "assign", "disqualify"]));
            let detail = "another contact (holder) has this e-mail address; set allow_duplicate to go on all the same";
            let taken = Refusal::conflict("contact_email_taken", detail).with("holder", example::id(3).to_string());
            vec![step, taken]
        },
    },
    Refused {
        status: "412",
        name: "VersionDiffers",
        meaning: "If-Match names a version that is not the current one",
        headers: &[],
        of: |operation| operation.conditioned,
        examples: || {
            let detail = "If-Match names version 1, the current version is 2; read it again, then decide";
            vec![Refusal::precondition_failed("version_differs", detail).with("version", 2)]
        },
    },
    Refused {
        status: "413",
        name: "TooLarge",
        meaning: "The body is too large",
        headers: &[],
        of: |operation| operation.command,
        examples: || {
            let detail = "the body is larger than 1048576 bytes";
            vec![Refusal::too_large("body_too_large", detail).with("allowed", 1_048_576)]
        },
    },
    Refused {
        status: "415",
        name: "UnsupportedMedia",
        meaning: "A content type, charset or encoding that is not read here",
        headers: &[],
        of: |operation| operation.command,
        examples: || {
            let detail = "the content type \"text/plain\" is not read here; send application/json in UTF-8";
            vec![Refusal::unsupported_media("content_type_unsupported", detail).with("allowed", "application/json")]
        },
    },
    Refused {
        status: "422",
        name: "Unprocessable",
        meaning: "The body names what is not there (or another tenant's), or the idempotency key was used for another request",
        headers: &[],
        of: |operation| operation.command,
        examples: || {
            let detail = format!("there is no pipeline {}", example::id(5));
            let unknown = FieldError { pointer: "/pipeline".to_owned(), code: "not_found", detail };
            let key =
                "the idempotency key \"import of May\" was used for another request; use a new key for each request";
            vec![Refusal::references(vec![unknown]), Refusal::unprocessable("idempotency_key_reused", key)]
        },
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
        examples: || {
            let detail = "too many requests of this token; wait as Retry-After says, then go on more slowly";
            let limited = Refusal::rate_limited("rate_limited", detail);
            vec![limited.with("limited", "token").with("retry_after", 2)]
        },
    },
    Refused {
        status: "503",
        name: "Unavailable",
        meaning: "A part that is needed does not answer, or has too much to do",
        headers: &[RETRY_AFTER],
        of: |_| true,
        examples: || {
            let busy = "too much waits to be written already; nothing was written: try again in a while";
            let away = "the event log does not answer; it is not known whether the command was done: repeat it with the same Idempotency-Key";
            vec![Refusal::unavailable("log_busy", busy), Refusal::unavailable("log_unavailable", away)]
        },
    },
];

/// Writes them into the document. `grants`: the permission tables, which say who may say when something happened; `examples`: what answers
/// may look like, by the names of their schemas.
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
            if crate::remote::is_named_by_request(path) {
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

/// Shows what an operation answers when it does what it is asked.
fn add_examples(operation: &mut Value, examples: &Map<String, Value>) {
    for (status, response) in operation["responses"].as_object_mut().into_iter().flatten() {
        if !status.starts_with('2') {
            continue;
        }
        for content in response["content"].as_object_mut().into_iter().flat_map(Map::values_mut) {
            let schema = content["schema"]["$ref"].as_str().and_then(|path| path.rsplit('/').next());
            // What is no object has its example in its own schema.
            let found = match schema {
                Some(name) => examples.get(name).cloned(),
                None => content["schema"].as_object_mut().and_then(|schema| schema.remove("example")),
            };
            let Some(mut example) = found else { continue };
            // What was just made is in its first version.
            if status == "201"
                && let Some(version) = example.get_mut("version")
            {
                *version = json!(1);
            }
            content["example"] = example;
        }
    }
}

fn components() -> Value {
    let response = |refused: &Refused| {
        let shown = (refused.examples)().into_iter().map(|refusal| {
            let code = refusal.code().to_owned();
            (code, json!({ "value": Problem::from(refusal).document(Some(example::id(11))) }))
        });
        let shown = shown.collect::<Map<_, _>>();
        let schema = json!({ "$ref": "#/components/schemas/Problem" });
        let content = json!({ "application/problem+json": { "schema": schema, "examples": shown } });
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
