//! Requests to the SCIM endpoints.

use std::collections::HashMap;

use executor::Request;
use face::{Comparison, EntityTags, Incoming};
use kernel::{Caller, TenantId};
use poem::http::{HeaderMap, Method, StatusCode, header};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::error::ScimError;
use super::json;

/// An authenticated request.
pub(super) struct ScimRequest {
    pub(super) caller: Caller,
    pub(super) method: Method,
    /// The name or id at the end of the path; empty if the path has none.
    name: String,
    query: HashMap<String, String>,
    headers: HeaderMap,
    body: Vec<u8>,
    id: Uuid,
    traceparent: Option<String>,
}

impl ScimRequest {
    pub(super) async fn read(mut request: poem::Request) -> Result<Self, ScimError> {
        let incoming = Incoming::of(&request)?.clone();
        let caller = incoming.identity.caller()?.clone();
        let name =
            request.raw_path_param("id").or_else(|| request.raw_path_param("name")).unwrap_or_default().to_owned();
        let query = parameters(&request)?;
        let body = request.take_body().into_bytes_limit(incoming.limits.body).await.map_err(|_| {
            let detail = format!("the body is incomplete, or longer than {} bytes", incoming.limits.body);
            ScimError::of(StatusCode::PAYLOAD_TOO_LARGE, detail)
        })?;
        Ok(Self {
            caller,
            method: request.method().clone(),
            name,
            query,
            headers: std::mem::take(request.headers_mut()),
            body: body.to_vec(),
            id: incoming.id,
            traceparent: incoming.traceparent,
        })
    }

    pub(super) fn tenant(&self) -> TenantId {
        self.caller.tenant()
    }

    /// The same request, for the caller's own resource.
    pub(super) fn for_caller(mut self) -> Self {
        self.name = self.caller.subject().to_owned();
        self
    }

    /// The name or id at the end of the path.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The id of the resource at the end of the path. A name that is not a valid id is refused as not found; `what` is the resource's type.
    pub(super) fn resource_id(&self, what: &str) -> Result<Uuid, ScimError> {
        kernel::read_uuid(&self.name).map_err(|_| ScimError::not_found(what, &self.name))
    }

    /// Whether the client has this version already (`If-None-Match`). A header that can't be read is ignored, so that it gets the resource.
    pub(super) fn knows(&self, version: u64) -> bool {
        let tags = EntityTags::of(&self.headers, header::IF_NONE_MATCH).ok().flatten();
        tags.is_some_and(|tags| tags.names(&super::tag(version)))
    }

    /// A parameter of the query string. Its name is case-insensitive.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.get(&name.to_ascii_lowercase()).map(String::as_str)
    }

    /// The body: a JSON object that says of itself, if it does, that it has this schema.
    pub(super) fn object(&self, schema: &str) -> Result<Map<String, Value>, ScimError> {
        let kind = self.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let essence = kind.split(';').next().unwrap_or_default().trim();
        if ![super::MEDIA_TYPE, "application/json"].iter().any(|taken| essence.eq_ignore_ascii_case(taken)) {
            let detail = format!("send the body as {} or application/json", super::MEDIA_TYPE);
            return Err(ScimError::of(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
        }
        let body = json::read(&self.body)?;
        check_schemas(&body, schema)?;
        Ok(body)
    }

    /// The request for the executor. A change is made only if the resource has a version that `If-Match` names, if the header is there.
    pub(super) fn request(&self) -> Result<Request, ScimError> {
        let tags = EntityTags::of(&self.headers, header::IF_MATCH)
            .map_err(|error| ScimError::value(format!("If-Match can't be read: {error}")))?;
        // Versions are weak in SCIM (RFC 7644 section 3.14).
        let if_match = tags.and_then(|tags| tags.versions(Comparison::Weak));
        Ok(Request {
            caller: self.caller.clone(),
            command_id: None,
            request_hash: [0; 32],
            if_match,
            occurred_at: None,
            correlation_id: self.id,
            causation_id: self.id,
            traceparent: self.traceparent.clone(),
        })
    }
}

/// Checks the `schemas` of a body: it may have others besides (providers send extensions that we do not store), but without ours it is
/// something else, such as a group that is sent to the users. A provider that sends none is understood all the same.
///
/// # Errors
/// `invalidSyntax`, which is RFC 7644's for what does not conform to the schema of the request.
fn check_schemas(body: &Map<String, Value>, schema: &str) -> Result<(), ScimError> {
    let is_ours = |name: &Value| name.as_str().is_some_and(|name| name.trim().eq_ignore_ascii_case(schema));
    match json::get(body, "schemas") {
        None | Some(Value::Null) => Ok(()),
        Some(Value::Array(names)) if names.is_empty() || names.iter().any(is_ours) => Ok(()),
        Some(_) => Err(ScimError::syntax(format!("schemas is a list that must name {schema} here"))),
    }
}

/// The parameters of the query string, by their names in lower case.
///
/// # Errors
/// `invalidValue` if a parameter appears twice, because one of the two would be ignored.
fn parameters(request: &poem::Request) -> Result<HashMap<String, String>, ScimError> {
    let query: Vec<(String, String)> =
        request.params().map_err(|_| ScimError::value("the query string can't be read"))?;
    let mut parameters = HashMap::new();
    for (name, value) in query {
        if parameters.insert(name.to_ascii_lowercase(), value).is_some() {
            return Err(ScimError::value("a parameter appears twice; names are case-insensitive"));
        }
    }
    Ok(parameters)
}
