//! Routes under `/.well-known/` (RFC 8615).

use poem::endpoint::make_sync;
use poem::http::{HeaderValue, header};
use poem::{Response, Route};

use super::Methods;
use crate::auth::Verifier;

/// How long clients may cache the keys: an hour, after which a new key is known everywhere.
const KEEP: HeaderValue = HeaderValue::from_static("public, max-age=3600");

/// `/.well-known/jwks.json`: the public key of `inopsio token`, for other services that verify its tokens.
pub fn routes(route: Route, verifier: &Verifier) -> Route {
    let keys = verifier.key_set().to_string();
    let answer = move |_| {
        let mut response = Response::builder().content_type("application/jwk-set+json").body(keys.clone());
        response.headers_mut().insert(header::CACHE_CONTROL, KEEP);
        response
    };
    route.at("/.well-known/jwks.json", Methods::get(make_sync(answer)))
}
