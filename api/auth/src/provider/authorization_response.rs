//! The response to an authorization request: where a client gets it, and how.

use poem::Response;

use super::authorize::see_other;
use super::form::Form;
use super::{Visit, pages};

/// The supported values of `response_mode`.
pub(super) const RESPONSE_MODES: [&str; 2] = ["query", "form_post"];

/// Where and how a client gets the response to its authorization request.
pub(super) struct ResponseTarget {
    /// The redirect URI, which is one of the client's.
    pub(super) redirect_uri: String,
    /// The client's `state`, which it gets back.
    state: Option<String>,
    /// Whether the browser posts the response in a form (OAuth 2.0 Form Post Response Mode) instead of carrying it in the address.
    posted: bool,
}

impl ResponseTarget {
    /// Reads it from a request whose redirect URI is one of the client's; and why its response mode can't be used, if so. The client is
    /// told of this in the default mode.
    pub(super) fn read(form: &Form, redirect_uri: &str) -> (Self, Result<(), &'static str>) {
        let is_web = redirect_uri.starts_with("https://") || redirect_uri.starts_with("http://");
        let posted = match form.get("response_mode") {
            None | Some("query") => Ok(false),
            Some("form_post") if is_web => Ok(true),
            // An application that the browser starts gets the address only.
            Some("form_post") => Err("response_mode form_post needs a redirect URI with https or http"),
            Some(_) => Err("response_mode must be query or form_post"),
        };
        let state = form.get("state").map(str::to_owned);
        let target = Self { redirect_uri: redirect_uri.to_owned(), state, posted: posted.unwrap_or_default() };
        (target, posted.map(drop))
    }

    /// Sends the user back to the client with these parameters. `iss` names this issuer, so that the client detects a response of another
    /// one (RFC 9207).
    pub(super) fn send(&self, visit: &Visit, said: &[(&str, &str)]) -> Response {
        let mut said: Vec<(&str, &str)> = said.to_vec();
        said.extend(self.state.as_deref().map(|state| ("state", state)));
        said.push(("iss", visit.issuer.as_str()));
        if self.posted {
            return pages::post_to_client(&visit.brand, &self.redirect_uri, &said);
        }
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&said).finish();
        let join = if self.redirect_uri.contains('?') { '&' } else { '?' };
        see_other(&format!("{}{join}{query}", self.redirect_uri))
    }
}
