//! Health checks: polls each instance's `/health` (is it alive?) and `/ready` (can it carry out requests?).

use std::time::Duration;

use http::{Request, StatusCode, Uri};
use http_body_util::BodyExt;
use tokio_util::sync::CancellationToken;

use crate::instance::Instance;
use crate::{HttpClient, body};

/// The pause between liveness checks, and the timeout of one. A hanging instance is marked as down after
/// `MAX_MISSES × LIVENESS_TIMEOUT` plus the pause between them.
const LIVENESS_INTERVAL: Duration = Duration::from_millis(500);
const LIVENESS_TIMEOUT: Duration = Duration::from_secs(1);
/// The number of consecutive failed liveness checks after which an instance is marked as down.
const MAX_MISSES: u32 = 2;
/// The pause between readiness checks, and the timeout of one, which is longer because `/ready` checks the instance's dependencies.
const READINESS_INTERVAL: Duration = Duration::from_secs(2);
const READINESS_TIMEOUT: Duration = Duration::from_secs(3);

/// Checks an instance until `shutdown`.
pub(super) async fn watch(instance: &Instance, client: &HttpClient, shutdown: CancellationToken) {
    let asking = async { tokio::join!(alive(instance, client), ready(instance, client)) };
    shutdown.run_until_cancelled(asking).await;
}

async fn alive(instance: &Instance, client: &HttpClient) {
    let mut misses = 0;
    loop {
        misses = if ask(instance, client, "/health", LIVENESS_TIMEOUT).await.is_some() { 0 } else { misses + 1 };
        if misses == 0 || misses >= MAX_MISSES {
            instance.checked(|health| health.alive = misses == 0);
        }
        tokio::time::sleep(LIVENESS_INTERVAL).await;
    }
}

async fn ready(instance: &Instance, client: &HttpClient) {
    loop {
        // A missing answer is left to the liveness check.
        if let Some(status) = ask(instance, client, "/ready", READINESS_TIMEOUT).await {
            instance.checked(|health| health.ready = status.is_success());
        }
        tokio::time::sleep(READINESS_INTERVAL).await;
    }
}

/// The status of the answer; `None`: no complete answer within `timeout`.
async fn ask(instance: &Instance, client: &HttpClient, path: &'static str, timeout: Duration) -> Option<StatusCode> {
    let uri = Uri::builder().scheme("http").authority(instance.authority.clone()).path_and_query(path).build().ok()?;
    let request = Request::get(uri).body(body::whole(bytes::Bytes::new())).ok()?;
    let asked = async {
        let response = client.request(request).await.ok()?;
        let status = response.status();
        // The body is read to its end, so that the connection can be reused.
        response.into_body().collect().await.ok().map(|_| status)
    };
    tokio::time::timeout(timeout, asked).await.ok().flatten()
}
