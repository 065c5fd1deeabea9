//! Request bodies that are forwarded to an instance, and whether they can be sent again in a retry.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, SizeHint};

/// The body of a forwarded request, which may be sent more than once.
pub(super) enum Outgoing {
    /// Buffered in memory: can be sent any number of times.
    Whole(Bytes),
    /// Streamed from the client: can be sent again only while no frame of it was read.
    Streamed(ResendableBody),
}

impl Outgoing {
    /// A body that is streamed from the client.
    pub(super) fn streamed(body: BoxBody<Bytes, io::Error>) -> Self {
        let (begun, cut) = (AtomicBool::new(false), AtomicBool::new(false));
        Self::Streamed(ResendableBody(Arc::new(Shared { body: Mutex::new(body), begun, cut })))
    }

    /// The body for one attempt.
    pub(super) fn body(&self) -> BoxBody<Bytes, io::Error> {
        match self {
            Self::Whole(bytes) => whole(bytes.clone()),
            Self::Streamed(body) => body.clone().boxed(),
        }
    }

    /// Whether the body can be sent once more.
    pub(super) fn is_intact(&self) -> bool {
        match self {
            Self::Whole(_) => true,
            Self::Streamed(ResendableBody(shared)) => !shared.begun.load(Ordering::Acquire),
        }
    }

    /// Whether reading from the client failed before the end of the body. Such a failure must not count against the instance.
    pub(super) fn is_cut(&self) -> bool {
        matches!(self, Self::Streamed(ResendableBody(shared)) if shared.cut.load(Ordering::Acquire))
    }
}

/// A body that is buffered in memory.
pub(super) fn whole(bytes: Bytes) -> BoxBody<Bytes, io::Error> {
    Full::new(bytes).map_err(|never| match never {}).boxed()
}

/// A streamed body that can be sent again until the first frame is read. Clones share the stream.
#[derive(Clone)]
pub(super) struct ResendableBody(Arc<Shared>);

struct Shared {
    body: Mutex<BoxBody<Bytes, io::Error>>,
    begun: AtomicBool,
    cut: AtomicBool,
}

impl Body for ResendableBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.0.begun.store(true, Ordering::Release);
        let mut body = self.0.body.lock().unwrap_or_else(PoisonError::into_inner);
        let frame = Pin::new(&mut *body).poll_frame(cx);
        if matches!(frame, Poll::Ready(Some(Err(_)))) {
            self.0.cut.store(true, Ordering::Release);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.0.body.lock().unwrap_or_else(PoisonError::into_inner).is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.body.lock().unwrap_or_else(PoisonError::into_inner).size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_streamed_body_can_be_sent_again_until_something_of_it_was_taken() {
        let outgoing = Outgoing::streamed(whole(Bytes::from_static(b"a file")));
        drop(outgoing.body());
        assert!(outgoing.is_intact());
        assert_eq!(outgoing.body().collect().await.unwrap().to_bytes(), "a file");
        assert!(!outgoing.is_intact() && !outgoing.is_cut());
    }

    #[tokio::test]
    async fn a_body_whose_sender_stops_is_known_to_be_cut() {
        let part = Ok::<_, io::Error>(Frame::data(Bytes::from_static(b"half a")));
        let frames = futures::stream::iter([part, Err(io::ErrorKind::UnexpectedEof.into())]);
        let outgoing = Outgoing::streamed(BoxBody::new(http_body_util::StreamBody::new(frames)));
        assert!(outgoing.body().collect().await.is_err());
        assert!(outgoing.is_cut());
    }
}
