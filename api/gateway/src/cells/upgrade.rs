//! WebSockets through the front of the cells: once the cell accepts the upgrade, bytes are copied between the two connections.

use std::sync::Arc;
use std::time::Duration;

use face::Problem;
use hyper_util::rt::TokioIo;
use kernel::Refusal;
use poem::http::{Method, StatusCode, header};
use poem::{Request, Response};
use remote::{Forward, ForwardedHeaders, Remote};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::front::failure;

/// Whether a request asks for an upgrade to WebSocket. Other upgrades (such as `h2c`) are ignored.
pub(super) fn is_wanted(request: &Request) -> bool {
    let upgrade = request.header(header::UPGRADE);
    request.method() == Method::GET && upgrade.is_some_and(|wanted| wanted.trim().eq_ignore_ascii_case("websocket"))
}

/// Forwards an upgrade, and joins the two connections.
pub(super) struct Joining<'a> {
    /// The cell.
    pub(super) remote: &'a Arc<Remote>,
    /// The tasks that a shutdown waits for.
    pub(super) tasks: &'a TaskTracker,
    /// Cancelled when the front stops.
    pub(super) stop: &'a CancellationToken,
    /// How long a cell may take to answer.
    pub(super) timeout: Duration,
}

impl Joining<'_> {
    /// Forwards an upgrade request to the cell.
    pub(super) async fn forward(self, request: Request, tenant: Uuid) -> Result<Response, Problem> {
        if tenant.is_nil() {
            let detail = "through the gateway of the cells, a WebSocket has to name its tenant when it opens: send the header \
                          Authorization with the request that opens it";
            return Err(Refusal::invalid("tenant_unnamed", detail).with("header", "authorization").into());
        }
        let ours = request
            .take_upgrade()
            .map_err(|_| Refusal::invalid("upgrade_refused", "this connection can't switch protocols"))?;
        let asked = tokio::time::timeout(self.timeout, self.remote.open_socket(request, tenant)).await;
        let mut answer = asked.map_err(|_| failure::too_slow(self.timeout))??;
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            let (remote, stop) = (self.remote.clone(), self.stop.clone());
            let forward = Forward { remote, stop, headers: ForwardedHeaders::All };
            return Ok(forward.answer(answer));
        }
        let theirs = hyper::upgrade::on(&mut answer);
        let joined = async {
            let (Ok(mut ours), Ok(theirs)) = (ours.await, theirs.await) else { return };
            // Ends when either side closes or fails; both are normal.
            let _ = tokio::io::copy_bidirectional(&mut ours, &mut TokioIo::new(theirs)).await;
        };
        self.tasks.spawn(self.stop.clone().run_until_cancelled_owned(joined));
        let mut response = Response::builder().status(StatusCode::SWITCHING_PROTOCOLS).body(());
        *response.headers_mut() = answer.headers().clone();
        Ok(response)
    }
}
