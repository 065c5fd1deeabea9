//! Conditional requests (`If-None-Match`, RFC 9110 section 13.1.2): a client that already has the current version gets 304.

use face::EntityTags;
use poem::http::{HeaderMap, Method, StatusCode, header};
use poem::{Body, Response};

/// The tags in `If-None-Match` of a GET or HEAD request. A malformed header is ignored, so that the client gets the body.
pub fn wanted(method: &Method, headers: &HeaderMap) -> Option<EntityTags> {
    let reads = *method == Method::GET || *method == Method::HEAD;
    if reads { EntityTags::of(headers, header::IF_NONE_MATCH).ok().flatten() } else { None }
}

/// The response, or 304 if the client already has it. One that nobody may store is sent as it is: its tag may not cover all of it, and its
/// handler answers 304 where it does.
pub fn answer(mut response: Response, wanted: Option<&EntityTags>) -> Response {
    let tag = response.headers().get(header::ETAG).and_then(|tag| tag.to_str().ok());
    let stored = response.headers().get(header::CACHE_CONTROL).is_none_or(|control| control != "no-store");
    let has_it =
        stored && response.status() == StatusCode::OK && wanted.zip(tag).is_some_and(|(wanted, tag)| wanted.names(tag));
    if has_it {
        response.set_status(StatusCode::NOT_MODIFIED);
        response.set_body(Body::empty());
        response.headers_mut().remove(header::CONTENT_TYPE);
        response.headers_mut().remove(header::CONTENT_LENGTH);
    }
    response
}
