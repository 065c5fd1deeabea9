//! hyper refuses a malformed HTTP/1.1 request by itself, before it reaches our code, with only a status. This replaces such responses with
//! problem documents, like those of every other refusal.
//!
//! hyper has no hook for these responses. But bytes that it writes while no request is in progress, after everything before was flushed,
//! must be its own: so each connection has a [`RequestTracker`], and [`RefusalRewriter`] replaces such bytes when they are written. Bytes
//! of our own responses are never replaced, whatever they look like and wherever a write begins: a request counts as in progress until
//! the end of its response is flushed.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use face::Problem;
use hyper::body::{Body, Frame, SizeHint};
use kernel::{IdSource, Refusal};
use poem::http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use uuid::Uuid;

/// The state of a connection as a counter: odd while a request is in progress, even while hyper reads the next one.
#[derive(Clone, Debug, Default)]
pub(super) struct RequestTracker(Arc<AtomicU64>);

impl RequestTracker {
    /// Marks the beginning of a request. (With HTTP/2 there may be several at once, but responses of hyper are not replaced there.)
    pub(super) fn begin(&self) -> RequestGuard {
        self.0.fetch_add(1, Ordering::Relaxed);
        RequestGuard { tracker: self.clone(), ends: true }
    }

    fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A request that is in progress until this is dropped.
#[derive(Debug)]
pub(super) struct RequestGuard {
    tracker: RequestTracker,
    ends: bool,
}

impl RequestGuard {
    /// Ties the end of the request to the end of its response's body. After a protocol upgrade the request never ends, because the bytes
    /// that follow are not HTTP.
    pub(super) fn answer<B>(mut self, answer: http::Response<B>) -> http::Response<TrackedBody<B>> {
        self.ends = answer.status() != StatusCode::SWITCHING_PROTOCOLS;
        answer.map(|body| TrackedBody { body, _guard: self })
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        if self.ends {
            self.tracker.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The body of a response; the request is in progress until it is dropped.
pub(super) struct TrackedBody<B> {
    body: B,
    _guard: RequestGuard,
}

impl<B: Body + Unpin> Body for TrackedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A connection on which hyper's own refusals are replaced by ours.
pub(super) struct RefusalRewriter<T> {
    io: T,
    tracker: RequestTracker,
    ids: Arc<dyn IdSource>,
    /// The tracker's counter at the last flush, if no request was in progress then. A write at the same counter is hyper's own response.
    idle_at: Option<u64>,
    /// The bytes of the replacement that are not written yet.
    replacement: Vec<u8>,
}

impl<T> RefusalRewriter<T> {
    pub(super) fn new(io: T, tracker: RequestTracker, ids: Arc<dyn IdSource>) -> Self {
        Self { io, tracker, ids, idle_at: Some(0), replacement: Vec::new() }
    }

    /// Prepares the replacement if these bytes are a refusal by hyper. Returns whether they must not be written.
    fn replace(&mut self, words: &[u8]) -> bool {
        let own = self.idle_at.take() == Some(self.tracker.now());
        if own && let Some(replacement) = rewritten(words, &*self.ids) {
            self.replacement = replacement;
        }
        !self.replacement.is_empty()
    }
}

impl<T: AsyncWrite + Unpin> RefusalRewriter<T> {
    fn flush_replacement(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.replacement.is_empty() {
            match ready!(Pin::new(&mut self.io).poll_write(cx, &self.replacement))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                said => drop(self.replacement.drain(..said)),
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for RefusalRewriter<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for RefusalRewriter<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.flush_replacement(cx))?;
        if self.replace(bytes) {
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.flush_replacement(cx))?;
        // A response of hyper's own is in one slice.
        let bytes: &[u8] = slices.iter().find(|slice| !slice.is_empty()).map_or(&[][..], |slice| &slice[..]);
        if self.replace(bytes) {
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.flush_replacement(cx))?;
        ready!(Pin::new(&mut self.io).poll_flush(cx))?;
        // hyper flushes when it has nothing more to write.
        let now = self.tracker.now();
        self.idle_at = now.is_multiple_of(2).then_some(now);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.flush_replacement(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// Converts a refusal by hyper to a problem document; `None`: the bytes are not a refusal that we know.
fn rewritten(words: &[u8], ids: &dyn IdSource) -> Option<Vec<u8>> {
    let head = std::str::from_utf8(words).ok()?.strip_suffix("\r\n\r\n")?;
    let (first, lines) = head.split_once("\r\n")?;
    let status = first.strip_prefix("HTTP/1.1 ")?.get(..3)?;
    let problem = refusal(StatusCode::from_bytes(status.as_bytes()).ok()?)?;
    let id = ids.next();
    tracing::debug!(request = %id, status, "what came can't be read as a request");
    Some(response_bytes(first, lines, &problem, id))
}

/// The bytes of a whole response. It keeps hyper's header lines (`connection: close` and the date), except the content length.
fn response_bytes(first: &str, lines: &str, problem: &Problem, id: Uuid) -> Vec<u8> {
    let document = problem.document(Some(id)).to_string();
    let answer = problem.respond(Some(id));
    let lines = lines.split("\r\n").filter(|line| !line.to_ascii_lowercase().starts_with("content-length:"));
    let mut said = format!("{first}\r\nx-request-id: {id}\r\nx-content-type-options: nosniff\r\n").into_bytes();
    for (name, value) in answer.headers() {
        said.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    for line in lines {
        said.extend([line.as_bytes(), b"\r\n"].concat());
    }
    said.extend(format!("content-length: {}\r\n\r\n{document}", document.len()).into_bytes());
    said
}

/// The problem for a status with which hyper refuses requests. The limits in the texts are those of hyper, which has no constants for
/// them.
fn refusal(status: StatusCode) -> Option<Problem> {
    let refusal = match status {
        StatusCode::BAD_REQUEST => {
            let detail = "this is not a valid HTTP/1.1 request: the method, the target or a header is malformed";
            Refusal::invalid("request_malformed", detail)
        }
        StatusCode::URI_TOO_LONG => {
            let detail = "the target of the request is longer than 65534 bytes";
            Refusal::invalid("uri_too_long", detail).with("allowed", 65_534)
        }
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
            let detail = "there are too many headers; allowed are 100, in 400 KiB";
            Refusal::invalid("headers_too_large", detail).with("allowed", 100)
        }
        _ => return None,
    };
    Some(Problem::with_status(refusal, status))
}

#[cfg(test)]
mod tests {
    use kernel::SystemIds;
    use serde_json::Value;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    const TOO_LONG: &[u8] =
        b"HTTP/1.1 414 URI Too Long\r\nconnection: close\r\ncontent-length: 0\r\ndate: Thu, 26 Nov 2026 20:00:00 GMT\r\n\r\n";

    fn connection() -> (DuplexStream, RefusalRewriter<DuplexStream>, RequestTracker) {
        let (client, server) = duplex(1 << 16);
        let tracker = RequestTracker::default();
        let rewriter = RefusalRewriter::new(server, tracker.clone(), Arc::new(SystemIds));
        (client, rewriter, tracker)
    }

    async fn write(server: &mut RefusalRewriter<DuplexStream>, bytes: &[u8]) {
        server.write_all(bytes).await.unwrap();
        server.flush().await.unwrap();
    }

    /// Everything that the client receives until the server's end.
    async fn heard(mut client: DuplexStream, mut server: RefusalRewriter<DuplexStream>) -> String {
        server.shutdown().await.unwrap();
        drop(server);
        let mut heard = String::new();
        client.read_to_string(&mut heard).await.unwrap();
        heard
    }

    fn answered(guard: RequestGuard, status: StatusCode) -> http::Response<TrackedBody<String>> {
        let mut answer = http::Response::new(String::new());
        *answer.status_mut() = status;
        guard.answer(answer)
    }

    #[tokio::test]
    async fn what_is_refused_before_a_request_is_with_us_is_a_problem_document() {
        for asked_before in [false, true] {
            let (client, mut server, tracker) = connection();
            if asked_before {
                let answer = answered(tracker.begin(), StatusCode::OK);
                server.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
                drop(answer);
                server.flush().await.unwrap();
            }
            write(&mut server, TOO_LONG).await;
            let heard = heard(client, server).await;
            let (before, refused) = heard.split_at(if asked_before { 27 } else { 0 });
            assert!(before.is_empty() || before.starts_with("HTTP/1.1 204"), "{heard}");
            let (head, document) = refused.split_once("\r\n\r\n").unwrap();
            let document: Value = serde_json::from_str(document).unwrap();
            assert_eq!((&document["code"], &document["status"]), (&"uri_too_long".into(), &414.into()), "{heard}");
            assert!(head.starts_with("HTTP/1.1 414 URI Too Long\r\n"), "{head}");
            let lines: Vec<_> = head.split("\r\n").collect();
            let length = format!("content-length: {}", document.to_string().len());
            for line in
                ["connection: close", "date: Thu, 26 Nov 2026 20:00:00 GMT", "content-type: application/problem+json"]
            {
                assert!(lines.contains(&line), "{line} is not in {head}");
            }
            assert_eq!(lines.iter().filter(|line| line.starts_with("content-length")).collect::<Vec<_>>(), [&length]);
        }
    }

    #[tokio::test]
    async fn nothing_of_an_answer_is_taken_for_a_refusal_wherever_a_write_begins() {
        let as_it_is = String::from_utf8(TOO_LONG.to_vec()).unwrap();
        // While a request is in progress, even after a flush in its middle.
        let (client, mut server, tracker) = connection();
        let guard = tracker.begin();
        server.flush().await.unwrap();
        write(&mut server, TOO_LONG).await;
        drop(guard);
        assert_eq!(heard(client, server).await, as_it_is);
        // The end of its body, which hyper has already read.
        let (client, mut server, tracker) = connection();
        let guard = tracker.begin();
        server.flush().await.unwrap();
        drop(guard);
        write(&mut server, TOO_LONG).await;
        assert_eq!(heard(client, server).await, as_it_is);
        // A whole response, begun and ended before any of it is written.
        let (client, mut server, tracker) = connection();
        drop(tracker.begin());
        write(&mut server, TOO_LONG).await;
        assert_eq!(heard(client, server).await, as_it_is);
        // Another protocol.
        let (client, mut server, tracker) = connection();
        drop(answered(tracker.begin(), StatusCode::SWITCHING_PROTOCOLS));
        server.flush().await.unwrap();
        write(&mut server, TOO_LONG).await;
        assert_eq!(heard(client, server).await, as_it_is);
    }

    #[tokio::test]
    async fn what_nobody_knows_goes_out_as_it_is() {
        for words in ["PRI * HTTP/2.0\r\n\r\n", "HTTP/1.1 408 Request Timeout\r\n\r\n", "HTTP/1.1 414 URI Too Long\r\n"]
        {
            let (client, mut server, _) = connection();
            write(&mut server, words.as_bytes()).await;
            assert_eq!(heard(client, server).await, words);
        }
    }
}
