//! `/.well-known/…` (RFC 8615): what others look for without being told where.

use poem::endpoint::make_sync;
use poem::http::{HeaderValue, header};
use poem::{Response, Route};

use super::Methods;
use crate::auth::Verifier;

/// How long the keys may be kept. A new key is known everywhere after that.
const KEEP: HeaderValue = HeaderValue::from_static("public, max-age=3600");

/// `/.well-known/jwks.json`: the key that verifies our tokens, for whoever else is shown them.
pub fn routes(route: Route, verifier: &Verifier) -> Route {
    let keys = verifier.key_set().to_string();
    let answer = move |_| {
        let mut response = Response::builder().content_type("application/jwk-set+json").body(keys.clone());
        response.headers_mut().insert(header::CACHE_CONTROL, KEEP);
        response
    };
    route.at("/.well-known/jwks.json", Methods::get(make_sync(answer)))
}
