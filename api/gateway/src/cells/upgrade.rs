//! Websockets through the front: the two connections are joined as soon as the cell agrees.

use std::sync::Arc;

use face::Problem;
use http_body_util::BodyExt;
use http_body_util::combinators::BoxBody;
use hyper_util::rt::TokioIo;
use kernel::Refusal;
use poem::http::StatusCode;
use poem::{Body, Request, Response};
use uuid::Uuid;

use crate::remote::Remote;

/// Passes a request to change the protocol on to a cell.
pub(super) async fn forward(remote: &Arc<Remote>, request: Request, tenant: Uuid) -> Result<Response, Problem> {
    if tenant.is_nil() {
        let detail = "through the cells' gateway a websocket has to name its tenant at once: send the header Authorization \
                      with the request that opens it";
        return Err(Refusal::invalid("tenant_unnamed", detail).with("header", "authorization").into());
    }
    let ours = request
        .take_upgrade()
        .map_err(|_| Refusal::invalid("upgrade_refused", "this connection can't change its protocol"))?;
    let mut answer = remote.open_socket(request, tenant).await?;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        let (parts, body) = answer.into_parts();
        let body = Body::from(BoxBody::new(body.map_err(std::io::Error::other)));
        let mut response = Response::builder().status(parts.status).body(body);
        *response.headers_mut() = parts.headers;
        return Ok(response);
    }
    let theirs = hyper::upgrade::on(&mut answer);
    tokio::spawn(async move {
        let (Ok(mut ours), Ok(theirs)) = (ours.await, theirs.await) else { return };
        // Either side may end it, in order or not.
        let _ = tokio::io::copy_bidirectional(&mut ours, &mut TokioIo::new(theirs)).await;
    });
    let mut response = Response::builder().status(StatusCode::SWITCHING_PROTOCOLS).body(());
    *response.headers_mut() = answer.headers().clone();
    Ok(response)
}
