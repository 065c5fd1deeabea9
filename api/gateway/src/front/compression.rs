//! Compression of text responses, from a size on.

use poem::http::{HeaderMap, HeaderValue, header};
use poem::web::{Compress, CompressionAlgo, CompressionLevel};
use poem::{IntoResponse, Response};

/// The smallest body that is compressed, in bytes. Smaller ones fit into one packet anyhow.
const MIN_BYTES: usize = 1_400;

/// The types of responses that are text and have complete bodies. (An event stream would have to be passed on as it comes.)
const WHOLE_TEXTS: [&str; 6] = [
    "application/json",
    "application/graphql-response+json",
    "application/problem+json",
    "application/scim+json",
    "text/html",
    "text/plain",
];

/// The algorithm that we prefer among those that the client accepts.
pub fn wanted(headers: &HeaderMap) -> Option<CompressionAlgo> {
    let accepted = headers.get(header::ACCEPT_ENCODING)?.to_str().ok()?;
    let accepts = |coding: &str| {
        accepted.split(',').any(|part| {
            let mut part = part.split(';').map(str::trim);
            part.next().is_some_and(|name| name.eq_ignore_ascii_case(coding))
                && part.all(|parameter| !matches!(parameter, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
        })
    };
    [("zstd", CompressionAlgo::ZSTD), ("gzip", CompressionAlgo::GZIP)]
        .into_iter()
        .find(|(coding, _)| accepts(coding))
        .map(|(_, algorithm)| algorithm)
}

/// Compresses a response, if it is text, large enough, and not compressed yet. `lost` makes the response for a body that ends early.
pub async fn compress(mut response: Response, algorithm: CompressionAlgo, lost: impl FnOnce() -> Response) -> Response {
    let headers = response.headers();
    let whole_text = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|content_type| WHOLE_TEXTS.iter().any(|text| content_type.starts_with(text)));
    if !whole_text || headers.contains_key(header::CONTENT_ENCODING) {
        return response;
    }
    let Ok(bytes) = response.take_body().into_bytes().await else {
        tracing::warn!("an answer ended before its end");
        let mut told = lost();
        for (name, value) in response.headers() {
            let of_the_body =
                [header::CONTENT_TYPE, header::CONTENT_LENGTH, header::ETAG, header::LOCATION].contains(name);
            if !of_the_body {
                told.headers_mut().append(name, value.clone());
            }
        }
        return told;
    };
    let large_enough = bytes.len() >= MIN_BYTES;
    response.set_body(bytes);
    if !large_enough {
        return response;
    }
    let mut response = Compress::new(response, algorithm).with_quality(CompressionLevel::Fastest).into_response();
    response.headers_mut().remove(header::CONTENT_LENGTH);
    response.headers_mut().append(header::VARY, HeaderValue::from_static("accept-encoding"));
    response
}
