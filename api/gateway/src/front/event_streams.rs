//! Ends event streams (server-sent events) when the token of their request becomes invalid.

use std::sync::Arc;

use futures::StreamExt;
use poem::http::header;
use poem::{Body, Response};

use crate::auth::{Bearer, Verifier};

/// Makes an event stream end when its bearer's token becomes invalid. Other responses are not changed.
pub fn end_with(response: &mut Response, verifier: &Arc<Verifier>, bearer: Bearer) {
    let content_type = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if !content_type.is_some_and(|content_type| content_type.starts_with("text/event-stream")) {
        return;
    }
    let verifier = Arc::clone(verifier);
    let ended = async move { verifier.ended(bearer).await };
    let events = response.take_body().into_bytes_stream().take_until(Box::pin(ended));
    response.set_body(Body::from_bytes_stream(events));
}
