//! The authorization request of a client (OpenID Connect Core section 3.1.2.1), read from a query string.

use std::sync::Arc;

use auth_aggregates::{Client, ClientId, GrantId};
use auth_commands::protocol;
use poem::Response;

use super::authorization_response::ResponseTarget;
use super::form::Form;
use super::par::{PUSHED, PUSHED_BEFORE, which};
use super::{OAuthError, Provider, Visit};
use crate::authority::reaches_api;

/// Scopes that are not permissions.
pub const SCOPES: [&str; 7] = ["openid", "profile", "email", "phone", "address", "offline_access", "api"];

/// The supported values of `prompt` (OpenID Connect Core section 3.1.2.1).
pub(super) const PROMPTS: [&str; 4] = ["none", "login", "consent", "select_account"];

/// An authorization request.
pub struct AuthorizationRequest {
    pub(super) client: ClientId,
    pub(super) state: Arc<Client>,
    /// Where the client gets the response.
    to: ResponseTarget,
    pub(super) scope: Vec<String>,
    pub(super) nonce: Option<String>,
    pub(super) challenge: String,
    pub(super) prompt: Vec<String>,
    pub(super) max_age: Option<i64>,
    /// Whether the client asks for a second factor (`acr_values` contains `aal2`).
    pub(super) wants_second_factor: bool,
    pub(super) login_hint: Option<String>,
    /// An ID token of the user whom the client expects.
    pub(super) id_token_hint: Option<String>,
    /// The id of the pushed authorization request that this is, if it is one. The grant that it leads to has the same id.
    pub(super) pushed: Option<GrantId>,
    /// The whole query as it was received.
    pub(super) query: String,
}

/// Why an authorization request is invalid.
pub(super) enum AuthorizationError {
    /// The client or its redirect URI is unknown, so that the error is shown on a page and nobody is redirected.
    Page(&'static str),
    /// The client is told at its redirect URI.
    Told { to: ResponseTarget, error: &'static str, description: &'static str },
}

impl AuthorizationRequest {
    /// Reads and validates an authorization request.
    pub(super) async fn read(
        provider: &Provider,
        visit: &Visit,
        query: String,
    ) -> Result<Result<Self, AuthorizationError>, OAuthError> {
        // A duplicate parameter is refused: we and an intermediary could each read a different one of its values.
        let Ok(form) = Form::read(&query) else {
            return Ok(Err(AuthorizationError::Page("A parameter appears twice, or can't be read.")));
        };
        let Some(Ok(client)) = form.get("client_id").map(str::parse::<ClientId>) else {
            return Ok(Err(AuthorizationError::Page("The application that sent you here is not known.")));
        };
        let caller = protocol(visit.tenant.id, "auth");
        let found = provider.authority.executor().load::<Client>(&caller, &client.to_string()).await?;
        let Some((state, _)) = found.filter(|(state, _)| state.active) else {
            return Ok(Err(AuthorizationError::Page("The application that sent you here is not known.")));
        };
        let Some(redirect_uri) = form.get("redirect_uri").filter(|uri| state.details.redirects_to(uri)) else {
            return Ok(Err(AuthorizationError::Page(
                "The application asks to send you back to an address that is not registered for it.",
            )));
        };
        let (to, mode) = ResponseTarget::read(&form, redirect_uri);
        let wanted = mode.map_err(|text| ("invalid_request", text)).and_then(|()| RequestParameters::read(&form));
        let RequestParameters { scope, challenge, prompt, max_age } = match wanted {
            Ok(wanted) => wanted,
            Err((error, description)) => return Ok(Err(AuthorizationError::Told { to, error, description })),
        };
        let pushed = match form.get(PUSHED) {
            Some(text) => match which(provider, visit, text).await? {
                Some(id) => Some(id),
                None => return Ok(Err(AuthorizationError::Page(PUSHED_BEFORE))),
            },
            None => None,
        };
        Ok(Ok(Self {
            client,
            to,
            scope,
            nonce: form.get("nonce").map(str::to_owned),
            challenge,
            prompt,
            max_age,
            wants_second_factor: form.words("acr_values").iter().any(|value| value == "aal2"),
            login_hint: form.get("login_hint").map(|hint| hint.chars().take(254).collect()),
            id_token_hint: form.get("id_token_hint").map(str::to_owned),
            pushed,
            state,
            query,
        }))
    }

    /// The redirect URI.
    pub(super) fn redirect_uri(&self) -> &str {
        &self.to.redirect_uri
    }

    /// Sends the user back to the client with an error.
    pub(super) fn fails(&self, visit: &Visit, error: &str, description: &str) -> Response {
        failed(&self.to, visit, error, description)
    }

    /// Sends the user back to the client with a code.
    pub(super) fn succeeds(&self, visit: &Visit, code: &str) -> Response {
        self.to.send(visit, &[("code", code)])
    }
}

impl AuthorizationError {
    /// The error as the client itself gets it, in a direct response.
    pub(super) fn error(&self) -> OAuthError {
        match self {
            Self::Page(text) => OAuthError::invalid_request(*text),
            Self::Told { error, description, .. } => OAuthError::with_code(error, *description),
        }
    }

    pub(super) fn answer(&self, visit: &Visit) -> Response {
        match self {
            Self::Page(_) => self.error().respond(true, &visit.brand),
            Self::Told { to, error, description } => failed(to, visit, error, description),
        }
    }
}

/// The parameters of an authorization request that are validated by their syntax alone.
struct RequestParameters {
    scope: Vec<String>,
    challenge: String,
    prompt: Vec<String>,
    max_age: Option<i64>,
}

impl RequestParameters {
    /// Reads them, once the client and its redirect URI are known: from then on an error is sent to the client. An error is its OAuth code
    /// and its description.
    fn read(form: &Form) -> Result<Self, (&'static str, &'static str)> {
        if form.get("request").is_some() {
            return Err(("request_not_supported", "request objects are not supported"));
        }
        if form.get("request_uri").is_some() {
            return Err(("request_uri_not_supported", "request objects are not supported"));
        }
        if form.get("response_type") != Some("code") {
            return Err(("unsupported_response_type", "response_type must be code"));
        }
        let challenge = form.get("code_challenge").unwrap_or_default();
        let of_form =
            challenge.len() == 43 && challenge.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if !of_form || form.get("code_challenge_method") != Some("S256") {
            return Err((
                "invalid_request",
                "PKCE is required: send code_challenge, and S256 as code_challenge_method",
            ));
        }
        let scope = scope_of(form).map_err(|description| ("invalid_scope", description))?;
        let prompt = form.words("prompt");
        if prompt.len() > 1 && prompt.iter().any(|one| one == "none") {
            return Err(("invalid_request", "prompt none can't be combined with other values"));
        }
        if prompt.iter().any(|one| !PROMPTS.contains(&one.as_str())) {
            return Err(("invalid_request", "prompt must be one or more of none, login, consent, select_account"));
        }
        let max_age = form.get("max_age").map(str::parse::<i64>);
        if max_age.as_ref().is_some_and(|age| !age.as_ref().is_ok_and(|age| *age >= 0)) {
            return Err(("invalid_request", "max_age must be a number of seconds"));
        }
        if form.get("nonce").is_some_and(|nonce| nonce.len() > 256) {
            return Err(("invalid_request", "a nonce can have at most 256 bytes"));
        }
        Ok(Self { scope, challenge: challenge.to_owned(), prompt, max_age: max_age.and_then(Result::ok) })
    }
}

/// The known scopes among the requested ones: unknown ones are ignored (OpenID Connect Core section 3.1.2.1).
pub(super) fn scope_of(form: &Form) -> Result<Vec<String>, &'static str> {
    let mut scope = form.words("scope");
    scope.retain(|word| SCOPES.contains(&word.as_str()) || reaches_api(word));
    scope.sort_unstable();
    scope.dedup();
    if scope.is_empty() || scope.len() > 50 {
        return Err("the scope contains no known value, or too many values");
    }
    Ok(scope)
}

fn failed(to: &ResponseTarget, visit: &Visit, error: &str, description: &str) -> Response {
    to.send(visit, &[("error", error), ("error_description", description)])
}
