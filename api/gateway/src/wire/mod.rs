//! Connections: from the listener to the front, and back.
//!
//! A connection is read and written through two layers: [`silence`] cuts it when nothing comes or goes, [`unreadable`] puts into our
//! words what hyper says by itself. hyper reads requests out of it (HTTP/1.1, or HTTP/2 by prior knowledge), and the front answers them.
//!
//! It is what `poem::Server` does, but that this one knows of each connection whether a request of it is with us (ADR 55), waits a
//! moment when the machine has no room for another connection, and keeps hyper's limit for the requests of one connection of HTTP/2.

mod silence;
mod unreadable;

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

use self::silence::Connection;
use self::unreadable::{RefusalRewriter, RequestTracker};

/// What is waited when no connection can be taken in: most often too many files are open.
const PAUSE: Duration = Duration::from_millis(50);
/// The most bytes of the headers of a request over HTTP/2.
const HEADERS: u32 = 16_384;
/// How many requests over HTTP/2 that their client took back at once may wait to be forgotten (rapid reset).
const RESET: usize = 20;

/// Where connections come in, and how they are treated.
pub struct Wire {
    /// What listens.
    pub listener: TcpListener,
    /// How long nothing may come or go on one.
    pub patience: Duration,
    /// How long those that are open may take to finish in the end.
    pub drain: Duration,
    /// For refusals of what can't be read.
    pub ids: Arc<dyn IdSource>,
}

impl Wire {
    /// Has an endpoint answer what comes, until `stop`: then no more connections are taken in, and requests that run may finish.
    pub async fn serve(self, endpoint: impl Endpoint + 'static, stop: CancellationToken) {
        let Self { listener, patience, drain, ids } = self;
        let endpoint = Arc::new(endpoint);
        let local = listener.local_addr().map(|address| LocalAddr(address.into())).unwrap_or_default();
        let (open, cut) = (TaskTracker::new(), CancellationToken::new());
        while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
            match accepted {
                Ok((stream, peer)) => {
                    let tracker = RequestTracker::default();
                    let io = RefusalRewriter::new(Connection::new(stream, patience), tracker.clone(), ids.clone());
                    let ends = (local.clone(), RemoteAddr(peer.into()));
                    let answered = answer(io, ends, tracker, endpoint.clone(), stop.clone());
                    open.spawn(cut.clone().run_until_cancelled_owned(answered));
                }
                Err(error) if is_its_own(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "a connection can't be taken in");
                    tokio::time::sleep(PAUSE).await;
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

/// Whether it is of that one connection only, which its client gave up.
fn is_its_own(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset)
}

/// Answers the requests of one connection; after `stop` the one that runs is its last.
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
    builder.http2().max_header_list_size(HEADERS).max_pending_accept_reset_streams(RESET);
    let mut connection = pin!(builder.serve_connection_with_upgrades(TokioIo::new(io), service));
    // How it ends is its client's affair: in order, cut off, or in the middle of what can't be read.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    drop(connection.await);
}
