//! Connections: the HTTP server between the listener and the front.
//!
//! A connection is read and written through two layers: [`idle`] closes it when no bytes are received or sent for too long, and
//! [`hyper_refusals`] replaces responses that hyper writes by itself with problem documents. hyper parses the requests (HTTP/1.1, or
//! HTTP/2 by prior knowledge), and the front answers them.
//!
//! It replaces `poem::Server`, with these differences: it tracks whether a connection has a request in progress (ADR 55), it pauses when
//! no connection can be accepted, and it keeps hyper's limit for the concurrent requests of one HTTP/2 connection.

mod hyper_refusals;
mod idle;

use std::convert::Infallible;
use std::io::{self, ErrorKind};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::uri::Scheme;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use kernel::IdSource;
use poem::Endpoint;
use poem::web::{LocalAddr, RemoteAddr};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::hyper_refusals::{RefusalRewriter, RequestTracker};
use self::idle::Connection;

/// The pause after a failed accept, most often because too many files are open.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// The most bytes of the headers of a request over HTTP/2.
const MAX_HEADER_BYTES: u32 = 16_384;
/// The most HTTP/2 streams of a connection that were reset by the client and are not processed yet (against rapid reset).
const MAX_PENDING_RESETS: usize = 20;

/// The HTTP server.
pub struct Wire {
    /// The listener.
    pub listener: TcpListener,
    /// How long a connection may stay without received or sent bytes.
    pub idle_timeout: Duration,
    /// How long open connections may take to finish at a shutdown.
    pub drain: Duration,
    /// The source of request ids, for refusals of requests that can't be parsed.
    pub ids: Arc<dyn IdSource>,
}

impl Wire {
    /// Answers requests with `endpoint` until `stop`. Then it accepts no more connections, and lets running requests finish.
    pub async fn serve(self, endpoint: impl Endpoint + 'static, stop: CancellationToken) {
        let Self { listener, idle_timeout, drain, ids } = self;
        let endpoint = Arc::new(endpoint);
        let local = listener.local_addr().map(|address| LocalAddr(address.into())).unwrap_or_default();
        let (open, cut) = (TaskTracker::new(), CancellationToken::new());
        while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
            match accepted {
                Ok((stream, peer)) => {
                    let tracker = RequestTracker::default();
                    let io = RefusalRewriter::new(Connection::new(stream, idle_timeout), tracker.clone(), ids.clone());
                    let ends = (local.clone(), RemoteAddr(peer.into()));
                    let answered = answer(io, ends, tracker, endpoint.clone(), stop.clone());
                    open.spawn(cut.clone().run_until_cancelled_owned(answered));
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "a connection can't be taken in");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(listener);
        open.close();
        if tokio::time::timeout(drain, open.wait()).await.is_err() {
            cut.cancel();
            open.wait().await;
        }
    }
}

/// Whether a failed accept concerns only that connection, which its client gave up.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset)
}

/// Answers the requests of one connection. After `stop`, the connection closes when its running requests are answered.
async fn answer<E: Endpoint + 'static>(
    io: RefusalRewriter<Connection<TcpStream>>,
    (local, peer): (LocalAddr, RemoteAddr),
    tracker: RequestTracker,
    endpoint: Arc<E>,
    stop: CancellationToken,
) {
    let service = service_fn(move |request: http::Request<Incoming>| {
        let (guard, endpoint) = (tracker.begin(), endpoint.clone());
        let request = poem::Request::from((request, local.clone(), peer.clone(), Scheme::HTTP));
        async move {
            let response: http::Response<_> = endpoint.get_response(request).await.into();
            Ok::<_, Infallible>(guard.answer(response))
        }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http2().max_header_list_size(MAX_HEADER_BYTES).max_pending_accept_reset_streams(MAX_PENDING_RESETS);
    let mut connection = pin!(builder.serve_connection_with_upgrades(TokioIo::new(io), service));
    // Errors are ignored: a connection may end regularly, be cut off, or send a malformed request.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    drop(connection.await);
}
