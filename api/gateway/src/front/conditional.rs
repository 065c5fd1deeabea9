//! Answers that the client has already (RFC 9110, section 13.1.2): it says which version, and gets no body again.

use poem::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use poem::{Body, Response};

/// What `If-None-Match` of a reading request names.
pub fn wanted(method: &Method, headers: &HeaderMap) -> Vec<HeaderValue> {
    if *method != Method::GET && *method != Method::HEAD {
        return Vec::new();
    }
    headers.get_all(header::IF_NONE_MATCH).iter().cloned().collect()
}

/// The answer, or 304 when the client has it.
pub fn answer(mut response: Response, wanted: &[HeaderValue]) -> Response {
    let tag = response.headers().get(header::ETAG).and_then(|tag| tag.to_str().ok());
    let has_it = response.status() == StatusCode::OK
        && tag.is_some_and(|tag| wanted.iter().filter_map(|value| value.to_str().ok()).any(|list| names(list, tag)));
    if has_it {
        response.set_status(StatusCode::NOT_MODIFIED);
        response.set_body(Body::empty());
        response.headers_mut().remove(header::CONTENT_TYPE);
        response.headers_mut().remove(header::CONTENT_LENGTH);
    }
    response
}

/// Whether a list of entity tags names this one. Weak ones count, as they do for reading.
fn names(list: &str, tag: &str) -> bool {
    let strong = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    list.trim() == "*" || list.split(',').any(|one| strong(one) == strong(tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_names_a_tag_weak_or_strong() {
        for list in ["\"3\"", "W/\"3\"", "\"1\", \"3\"", "*", " \"3\" "] {
            assert!(names(list, "\"3\""), "{list}");
        }
        for list in ["", "3", "\"30\"", "\"1\",\"2\"", "\"*\""] {
            assert!(!names(list, "\"3\""), "{list}");
        }
    }
}
