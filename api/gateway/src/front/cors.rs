//! CORS: the origins whose scripts may call the API. Tokens are in a header, never in a cookie, so credentials are not allowed.

use poem::Response;
use poem::http::{HeaderMap, HeaderValue, StatusCode, header};

/// The allowed origins.
pub struct Cors {
    all: bool,
    origins: Vec<HeaderValue>,
}

const METHODS: &str = "GET, POST, OPTIONS";
const HEADERS: &str = "authorization, content-type, idempotency-key, if-match, if-none-match, last-event-id, occurred-at, x-min-position, \
                       x-request-id, x-service, x-tenant-id, traceparent";
const EXPOSED: &str = "etag, location, x-position, x-request-id, idempotency-replayed, ratelimit-limit, \
                       ratelimit-remaining, ratelimit-reset, retry-after";

impl Cors {
    /// The origins of the configuration; `*`: all.
    pub fn new(origins: &[String]) -> Self {
        Self {
            all: origins.iter().any(|origin| origin == "*"),
            origins: origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()).collect(),
        }
    }

    /// The request's origin, if it is allowed.
    pub fn allowed(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(header::ORIGIN)?;
        (self.all || self.origins.contains(origin)).then(|| origin.clone())
    }

    /// The response to a preflight, if the request is one. For an origin that is not allowed (`None`), it permits nothing.
    pub fn preflight(headers: &HeaderMap, origin: Option<&HeaderValue>) -> Option<Response> {
        headers.get(header::ACCESS_CONTROL_REQUEST_METHOD)?;
        let mut response = Response::builder().status(StatusCode::NO_CONTENT).finish();
        let answer = response.headers_mut();
        answer.insert(header::VARY, HeaderValue::from_static("origin"));
        if let Some(origin) = origin {
            answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            answer.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
            answer.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(HEADERS));
            answer.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
        }
        Some(response)
    }

    /// Permits the scripts of `origin` to read a response.
    pub fn write(headers: &mut HeaderMap, origin: HeaderValue) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
        headers.append(header::VARY, HeaderValue::from_static("origin"));
    }
}
