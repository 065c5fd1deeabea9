//! Responses that are read from the database while they are sent.

use std::io;

use futures::stream::{self, BoxStream, Stream, StreamExt};
use poem::http::{HeaderValue, StatusCode, header};
use poem::{Body, IntoResponse, Response};
use poem_openapi::registry::{MetaResponses, Registry};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{Example, schema};

/// The end of a JSON object whose last member is an empty list, and the end of it after the list's last item.
const EMPTY: &[u8] = b"[]}";
const END: &[u8] = b"]}";

/// 200: an object whose last member is a list that may be long. Only some of the list's items are in memory at a time.
pub struct Streamed<T> {
    body: T,
    items: BoxStream<'static, io::Result<Vec<u8>>>,
}

impl<T> Streamed<T> {
    /// The response `body`, whose last member must be an empty list, with these items in that list. Each element of the stream is a batch
    /// of items. An error cuts the response off, so that the client notices that it is incomplete.
    pub fn new<I, E>(body: T, items: impl Stream<Item = Result<Vec<I>, E>> + Send + 'static) -> Self
    where
        I: Serialize,
        E: std::error::Error + Send + Sync + 'static,
    {
        let mut first = true;
        let items = items.map(move |some| -> io::Result<Vec<u8>> {
            let some = some.map_err(|error| {
                tracing::warn!(%error, "an answer is cut off");
                io::Error::other(error)
            })?;
            let mut text = Vec::new();
            for item in &some {
                if !std::mem::take(&mut first) {
                    text.push(b',');
                }
                serde_json::to_writer(&mut text, item)?;
            }
            Ok(text)
        });
        Self { body, items: items.boxed() }
    }
}

impl<T: Serialize + Send> IntoResponse for Streamed<T> {
    fn into_response(self) -> Response {
        let mut begun = match serde_json::to_vec(&self.body) {
            Ok(text) if text.ends_with(EMPTY) => text,
            written => {
                tracing::error!(error = ?written.err(), "an answer could not be written as JSON that ends with a list");
                return StatusCode::INTERNAL_SERVER_ERROR.into_response();
            }
        };
        begun.truncate(begun.len() - END.len());
        let text = stream::iter([Ok(begun)]).chain(self.items).chain(stream::iter([Ok(END.to_vec())]));
        Response::builder()
            .status(StatusCode::OK)
            .header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .body(Body::from_bytes_stream(text))
    }
}

impl<T: Example + JsonSchema + Serialize> poem_openapi::ApiResponse for Streamed<T> {
    fn meta() -> MetaResponses {
        schema::answer::<T>(200, "The requested data", &[])
    }

    fn register(registry: &mut Registry) {
        schema::register_answer::<T>(registry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Album {
        name: &'static str,
        pictures: Vec<u32>,
    }

    async fn sent(items: Vec<Result<Vec<u32>, io::Error>>) -> io::Result<String> {
        let album = Album { name: "[]}", pictures: Vec::new() };
        let response = Streamed::new(album, stream::iter(items)).into_response();
        assert_eq!((response.status(), response.content_type()), (StatusCode::OK, Some("application/json")));
        response.into_body().into_string().await.map_err(io::Error::other)
    }

    #[tokio::test]
    async fn items_are_sent_as_they_come() {
        assert_eq!(sent(Vec::new()).await.unwrap(), r#"{"name":"[]}","pictures":[]}"#);
        let items = vec![Ok(vec![1]), Ok(Vec::new()), Ok(vec![2, 3])];
        assert_eq!(sent(items).await.unwrap(), r#"{"name":"[]}","pictures":[1,2,3]}"#);
    }

    #[tokio::test]
    async fn an_item_that_cannot_be_read_cuts_the_answer_off() {
        assert!(sent(vec![Ok(vec![1]), Err(io::Error::other("gone"))]).await.is_err());
    }

    #[test]
    fn what_does_not_end_with_a_list_is_no_answer() {
        let response = Streamed::new(7, stream::iter([Ok::<_, io::Error>(vec![1])])).into_response();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
}
