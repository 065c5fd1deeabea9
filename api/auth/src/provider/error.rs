//! Error responses of the OAuth endpoints (RFC 6749 section 5.2).

use std::time::Duration;

use kernel::{Kind, Refusal};
use poem::Response;
use poem::http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::json;

use super::pages::{self, Brand};

/// The prefix of the refusal codes for a tenant whose access is blocked: `tenant_suspended`, `tenant_deleted`.
const TENANT_BLOCKED: &str = "tenant_";

/// The result of an endpoint.
pub type Answer = Result<Response, OAuthError>;

/// An OAuth error, with its HTTP status.
#[derive(Clone, Debug)]
pub struct OAuthError {
    status: StatusCode,
    error: &'static str,
    description: String,
    /// Whether to send a `WWW-Authenticate` challenge for client authentication.
    challenge: bool,
    /// In seconds.
    retry_after: Option<u64>,
}

macro_rules! errors {
    ($($(#[$doc:meta])* $name:ident = $error:literal, $status:ident;)+) => {$(
        $(#[$doc])*
        pub fn $name(description: impl Into<String>) -> Self {
            Self::new(StatusCode::$status, $error, description)
        }
    )+};
}

impl OAuthError {
    fn new(status: StatusCode, error: &'static str, description: impl Into<String>) -> Self {
        Self { status, error, description: description.into(), challenge: false, retry_after: None }
    }

    errors! {
        /// A parameter is missing, appears twice, or has a value that is not allowed.
        invalid_request = "invalid_request", BAD_REQUEST;
        /// The authorization code or refresh token is not valid.
        invalid_grant = "invalid_grant", BAD_REQUEST;
        /// The client may not use this grant.
        unauthorized_client = "unauthorized_client", BAD_REQUEST;
        /// The grant type is not supported.
        unsupported_grant_type = "unsupported_grant_type", BAD_REQUEST;
        /// The scope is unknown, or exceeds what was granted.
        invalid_scope = "invalid_scope", BAD_REQUEST;
        /// The bearer token is not accepted.
        invalid_token = "invalid_token", UNAUTHORIZED;
    }

    /// A 400 with the code `error`: one that only some endpoints use, such as `invalid_target` or `authorization_pending`.
    pub fn with_code(error: &'static str, description: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error, description)
    }

    /// Client authentication failed. `basic`: the client used the header `Authorization`.
    pub fn invalid_client(basic: bool) -> Self {
        let description = "the client is unknown, or its authentication failed";
        Self { challenge: basic, ..Self::new(StatusCode::UNAUTHORIZED, "invalid_client", description) }
    }

    /// The client's assertion was used before.
    pub fn replayed_assertion() -> Self {
        let description = "this client assertion was already used; create a new one, with its own jti, for each request, including retries";
        Self::new(StatusCode::UNAUTHORIZED, "invalid_client", description)
    }

    /// The bearer token's scope does not suffice.
    pub fn insufficient_scope(description: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "insufficient_scope", description)
    }

    /// No bearer token was sent. The response contains a challenge but no error code (RFC 6750 section 3.1).
    pub fn no_token() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "", "send the access token as Authorization: Bearer")
    }

    /// There is no such tenant.
    pub fn unknown_tenant() -> Self {
        Self::new(StatusCode::NOT_FOUND, "invalid_request", "there is no tenant with this name")
    }

    /// Nothing exists at this address.
    pub fn not_there(description: &'static str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "invalid_request", description)
    }

    /// Too many attempts failed; the client may retry after `wait`, which is rounded up to whole seconds.
    pub fn slow_down(wait: Duration) -> Self {
        let description = "too many attempts failed; wait for the time in Retry-After";
        let error = Self::new(StatusCode::TOO_MANY_REQUESTS, "temporarily_unavailable", description);
        Self { retry_after: Some(wait.as_secs() + 1), ..error }
    }

    /// Too many requests; the client may retry after `wait`.
    pub fn too_many_requests(wait: Duration) -> Self {
        Self {
            description: "too many requests from this address; wait for the time in Retry-After".to_owned(),
            ..Self::slow_down(wait)
        }
    }

    /// A device polls too often (RFC 8628 section 3.5).
    pub fn slow_polling() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "slow_down",
            "polling too fast; wait for the given interval between requests",
        )
    }

    /// This process has no port to the service that issued the mailed links.
    pub fn no_links() -> Self {
        let description = "mailed links can't be followed here";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", description)
    }

    /// Whether the request is at fault (status 400).
    pub(super) fn is_bad_request(&self) -> bool {
        self.status == StatusCode::BAD_REQUEST
    }

    /// The response: a page for a browser, JSON for other clients.
    pub fn respond(&self, browser: bool, tenant: &Brand) -> Response {
        if browser { self.page(tenant) } else { self.answer() }
    }

    fn page(&self, tenant: &Brand) -> Response {
        let title = match self.status {
            StatusCode::TOO_MANY_REQUESTS => "Too many attempts",
            StatusCode::NOT_FOUND => "Page not found",
            StatusCode::FORBIDDEN if self.error.starts_with(TENANT_BLOCKED) => "Sign-in is not available right now",
            status if status.is_server_error() => "Something went wrong",
            _ => "This request can't be completed",
        };
        let text = match self.retry_after {
            Some(seconds) => format!("Too many attempts failed. Try again in {}.", spoken(seconds)),
            None => sentence(&self.description),
        };
        let mut response = pages::message(tenant, self.status, title, &text);
        self.retry(&mut response);
        response
    }

    fn retry(&self, response: &mut Response) {
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
    }

    /// The JSON response.
    pub fn answer(&self) -> Response {
        let body = match self.error {
            "" => json!({}),
            error => json!({ "error": error, "error_description": printable(&self.description) }),
        };
        let mut response = answer(self.status, &body);
        let fixed = HeaderValue::from_static;
        let challenge = match self.error {
            _ if self.challenge => Some(fixed("Basic realm=\"inopsio\"")),
            "" => Some(face::challenge("token_missing")),
            "invalid_token" => Some(face::challenge("invalid_token")),
            // `userinfo` is our only endpoint that requires a scope.
            "insufficient_scope" => {
                Some(fixed("Bearer realm=\"inopsio\", error=\"insufficient_scope\", scope=\"openid\""))
            }
            _ => None,
        };
        if let Some(challenge) = challenge {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        self.retry(&mut response);
        response
    }
}

/// Replaces the characters that a description must not contain (RFC 6749 section 5.2): it may quote what a client sent.
fn printable(text: &str) -> String {
    let letter = |letter: char| match letter {
        '"' => '\'',
        '\\' => '/',
        ' '..='~' => letter,
        _ => '?',
    };
    text.chars().map(letter).collect()
}

/// A description as a sentence for people.
pub(super) fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(letters).chain((!text.ends_with('.')).then_some('.')).collect()
}

/// A waiting time in words.
pub(super) fn spoken(seconds: u64) -> String {
    match seconds {
        0 | 1 => "a second".to_owned(),
        2..=90 => format!("{seconds} seconds"),
        91..=5_400 => format!("{} minutes", seconds.div_ceil(60)),
        _ => format!("{} hours", seconds.div_ceil(3_600)),
    }
}

impl From<Refusal> for OAuthError {
    fn from(refusal: Refusal) -> Self {
        let (status, error) = match refusal.kind() {
            Kind::Internal | Kind::Timeout => (StatusCode::INTERNAL_SERVER_ERROR, "server_error"),
            Kind::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable"),
            Kind::Unauthenticated => (StatusCode::UNAUTHORIZED, "invalid_token"),
            Kind::NotFound => (StatusCode::NOT_FOUND, "invalid_request"),
            // The tenant is refused, not the request: its code is kept, as in the other APIs.
            Kind::Forbidden if refusal.code().starts_with(TENANT_BLOCKED) => (StatusCode::FORBIDDEN, refusal.code()),
            _ if refusal.code() == "grant_invalid" => (StatusCode::BAD_REQUEST, "invalid_grant"),
            _ => (StatusCode::BAD_REQUEST, "invalid_request"),
        };
        Self::new(status, error, refusal.detail())
    }
}

/// A JSON response that must not be cached (RFC 6749 section 5.1).
pub fn answer(status: StatusCode, body: &impl Serialize) -> Response {
    Response::builder()
        .status(status)
        .content_type("application/json")
        .header(header::CACHE_CONTROL, "no-store")
        .header(header::PRAGMA, "no-cache")
        .body(serde_json::to_vec(body).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_description_has_only_the_letters_that_it_may_have() {
        let quoted = OAuthError::invalid_request("there is no \"ä\\\u{1b}[31m\n\" here");
        let body = quoted.answer().into_body().into_string().await.unwrap();
        let said: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(said["error_description"], "there is no '?/?[31m?' here");
    }
}
