//! Problem documents (RFC 9457): the one place where a refusal becomes an HTTP response.

use std::fmt;

use chrono::{DateTime, Utc};
use kernel::{Kind, Refusal};
use poem::error::ResponseError;
use poem::http::{HeaderValue, StatusCode, header};
use poem::{Body, Response};
use poem_openapi::registry::{MetaMediaType, MetaResponse, MetaResponses, MetaSchemaRef, Registry};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::import::RowProblem;
use crate::schema;

/// A refusal as an HTTP response. In handlers, `?` converts a [`Refusal`] into it.
#[derive(Clone, Debug)]
pub struct Problem {
    refusal: Refusal,
    status: StatusCode,
    headers: Vec<(header::HeaderName, HeaderValue)>,
}

/// The HTTP status of each kind of refusal.
pub const fn status(kind: Kind) -> StatusCode {
    match kind {
        Kind::Invalid => StatusCode::BAD_REQUEST,
        Kind::Unauthenticated => StatusCode::UNAUTHORIZED,
        Kind::Forbidden => StatusCode::FORBIDDEN,
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Conflict => StatusCode::CONFLICT,
        Kind::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
        Kind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Kind::UnsupportedMedia => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Kind::Unprocessable => StatusCode::UNPROCESSABLE_ENTITY,
        Kind::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Kind::Timeout => StatusCode::GATEWAY_TIMEOUT,
    }
}

/// The `WWW-Authenticate` header for a refusal with this code. If the request had no token, it has no error (RFC 6750 section 3.1).
pub fn challenge(code: &str) -> HeaderValue {
    const INVALID: &str = "Bearer realm=\"inopsio\", error=\"invalid_token\"";
    match code {
        "token_missing" => HeaderValue::from_static("Bearer realm=\"inopsio\""),
        // RFC 9470 section 3.
        "sign_in_too_old" => {
            let seconds = kernel::MAX_AUTHENTICATION_AGE.num_seconds();
            let text =
                format!("Bearer realm=\"inopsio\", error=\"insufficient_user_authentication\", max_age=\"{seconds}\"");
            HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(INVALID))
        }
        _ => HeaderValue::from_static(INVALID),
    }
}

impl Problem {
    /// A problem with another status than that of its kind, for statuses such as 405 and 406 that have no kind.
    #[must_use]
    pub fn with_status(refusal: Refusal, status: StatusCode) -> Self {
        Self { refusal, status, headers: Vec::new() }
    }

    /// Adds a header to the answer, such as `Retry-After`.
    #[must_use]
    pub fn header(mut self, name: header::HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The refusal behind it.
    pub const fn refusal(&self) -> &Refusal {
        &self.refusal
    }

    /// The HTTP response; `request` (the request's id) becomes the problem's `instance`.
    pub fn respond(&self, request: Option<Uuid>) -> Response {
        let mut response = Response::builder()
            .status(self.status)
            .header(header::CONTENT_TYPE, CONTENT_TYPE)
            .body(Body::from_vec(serde_json::to_vec(&self.document(request)).unwrap_or_default()));
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge(self.refusal.code()));
        }
        for (name, value) in &self.headers {
            response.headers_mut().insert(name, value.clone());
        }
        response
    }

    /// The document itself.
    pub fn document(&self, request: Option<Uuid>) -> Value {
        let refusal = &self.refusal;
        let mut document = Map::new();
        document.insert("type".into(), format!("urn:inopsio:problem:{}", refusal.code()).into());
        document.insert("title".into(), self.status.canonical_reason().unwrap_or("Error").into());
        document.insert("status".into(), self.status.as_u16().into());
        document.insert("code".into(), refusal.code().into());
        document.insert("detail".into(), refusal.detail().into());
        if let Some(id) = request {
            document.insert("instance".into(), format!("urn:uuid:{id}").into());
        }
        if !refusal.errors().is_empty() {
            document.insert("errors".into(), json!(refusal.errors()));
        }
        for (member, value) in refusal.extra() {
            document.entry(member).or_insert_with(|| value.clone());
        }
        Value::Object(document)
    }
}

const CONTENT_TYPE: &str = "application/problem+json";

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let status = status(refusal.kind());
        let problem = Self { refusal, status, headers: Vec::new() };
        // An unavailable dependency or a full queue may recover at any time, so the client should try again soon.
        if status == StatusCode::SERVICE_UNAVAILABLE {
            return problem.header(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        // A rate limit knows how many seconds to wait.
        if let Some(wait) = problem.refusal.extra().get("retry_after").and_then(Value::as_u64) {
            return problem.header(header::RETRY_AFTER, wait.into());
        }
        problem
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.refusal.fmt(f)
    }
}

impl std::error::Error for Problem {}

impl ResponseError for Problem {
    fn status(&self) -> StatusCode {
        self.status
    }

    fn as_response(&self) -> Response {
        self.respond(None)
    }
}

/// A problem document (RFC 9457). Some codes add members for programs.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Problem")]
struct Form {
    /// `urn:inopsio:problem:` followed by the code.
    r#type: String,
    /// The name of the HTTP status.
    title: String,
    /// The HTTP status.
    status: u16,
    /// A stable error code, for programs.
    code: String,
    /// An explanation for people: what was wrong and what is allowed.
    detail: String,
    /// `urn:uuid:` followed by the request's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    /// Errors in individual values of the body, at most 100.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldProblem>,
    /// The missing permission. If several are listed, separated by spaces, any one of them is sufficient.
    #[serde(skip_serializing_if = "Option::is_none")]
    permission: Option<String>,
    /// Permissions that the request needs and the caller does not have.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    permissions: Vec<String>,
    /// What is allowed instead of what was sent, or what is allowed in the current state.
    #[serde(skip_serializing_if = "Option::is_none")]
    allowed: Option<Allowed>,
    /// The header that was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<String>,
    /// The parameter of the path or query string that was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    parameter: Option<String>,
    /// The argument of a GraphQL field that was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    argument: Option<String>,
    /// Number of seconds to wait before trying again.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
    /// Whose limit was reached: that of the token, of the tenant or of the installation.
    #[serde(skip_serializing_if = "Option::is_none")]
    limited: Option<String>,
    /// What was found instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    found: Option<Value>,
    /// The DNS text record (TXT) that is expected: its name and its value.
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<Value>,
    /// The state of the resource, which does not allow the step.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<String>,
    /// The step that is not allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<String>,
    /// The current version.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    /// The versions that exist.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    versions: Vec<u32>,
    /// The type of the resource that does not exist.
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<String>,
    /// The id of the resource that already has the unique value.
    #[serde(skip_serializing_if = "Option::is_none")]
    holder: Option<String>,
    /// The service that did not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<String>,
    /// When the resource was last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_changed_at: Option<DateTime<Utc>>,
    /// When it will be done automatically.
    #[serde(skip_serializing_if = "Option::is_none")]
    due_at: Option<DateTime<Utc>>,
    /// The position of the last event in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    head: Option<u64>,
    /// The position that the request wanted to wait for.
    #[serde(skip_serializing_if = "Option::is_none")]
    wanted: Option<u64>,
    /// The position that was reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    reached: Option<u64>,
    /// Number of events that were missed.
    #[serde(skip_serializing_if = "Option::is_none")]
    missed: Option<u64>,
    /// The line in the body or file, counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    /// The column in that line, counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<u64>,
    /// The columns of the file that were refused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    columns: Vec<String>,
    /// Errors in rows of the file.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    row_errors: Vec<RowProblem>,
    /// The total number of errors in rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    error_count: Option<u64>,
    /// Why it was not accepted, starting with the outermost reason.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<String>,
}

/// What is allowed.
#[derive(JsonSchema, Serialize)]
#[serde(untagged)]
#[schemars(rename = "ProblemAllowed")]
#[expect(dead_code, reason = "it is only described")]
enum Allowed {
    /// A value, or a text for people.
    Text(String),
    /// A number or an amount.
    Number(u64),
    /// A list of allowed values. Empty if nothing is allowed.
    Words(Vec<String>),
}

/// An error in one value of the body.
#[derive(JsonSchema, Serialize)]
struct FieldProblem {
    /// A JSON pointer (RFC 6901) to the value in the body.
    pointer: String,
    /// A stable error code, for programs.
    code: String,
    /// An explanation for people.
    detail: String,
}

impl poem_openapi::ApiResponse for Problem {
    fn meta() -> MetaResponses {
        MetaResponses {
            responses: vec![MetaResponse {
                description: "A problem document (RFC 9457); nothing was changed",
                status: None,
                status_range: None,
                content: vec![MetaMediaType {
                    content_type: CONTENT_TYPE,
                    schema: MetaSchemaRef::Reference(schema::name::<Form>()),
                }],
                headers: Vec::new(),
            }],
        }
    }

    fn register(registry: &mut Registry) {
        schema::register::<Form>(registry, schema::Direction::Out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_away_or_busy_says_when_to_come_again() {
        let answer = Problem::from(Refusal::unavailable("log_busy", "too much waits")).respond(None);
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.header("retry-after"), Some("1"));
        let answer = Problem::from(Refusal::conflict("taken", "it is taken")).respond(None);
        assert_eq!(answer.header("retry-after"), None);
    }
}
