//! Answers that the client has already (RFC 9110, section 13.1.2): it says which version, and gets no body again.

use face::EntityTags;
use poem::http::{HeaderMap, Method, StatusCode, header};
use poem::{Body, Response};

/// What `If-None-Match` of a reading request names. One that can't be read is as good as none: its client gets the body.
pub fn wanted(method: &Method, headers: &HeaderMap) -> Option<EntityTags> {
    let reads = *method == Method::GET || *method == Method::HEAD;
    if reads { EntityTags::of(headers, header::IF_NONE_MATCH).ok().flatten() } else { None }
}

/// The answer, or 304 when the client has it.
pub fn answer(mut response: Response, wanted: Option<&EntityTags>) -> Response {
    let tag = response.headers().get(header::ETAG).and_then(|tag| tag.to_str().ok());
    let has_it = response.status() == StatusCode::OK && wanted.zip(tag).is_some_and(|(wanted, tag)| wanted.names(tag));
    if has_it {
        response.set_status(StatusCode::NOT_MODIFIED);
        response.set_body(Body::empty());
        response.headers_mut().remove(header::CONTENT_TYPE);
        response.headers_mut().remove(header::CONTENT_LENGTH);
    }
    response
}
