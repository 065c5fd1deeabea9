//! Asking an instance how it is, all the time: whether it answers, and whether it says that it can carry out requests.

use std::sync::Arc;
use std::time::Duration;

use http::{Request, StatusCode, Uri};
use http_body_util::BodyExt;
use tokio_util::sync::CancellationToken;

use crate::instance::Instance;
use crate::{HttpClient, body};

/// How often it is asked whether it answers, and how long it may take. An instance that hangs is given up after
/// `MISSES × PATIENCE` and a pause between.
const OFTEN: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(1);
/// So many times in a row without an answer, and it is given up.
const MISSES: u32 = 2;
/// How often it is asked whether it is ready, and how long that may take: it asks others in turn.
const SELDOM: Duration = Duration::from_secs(2);
const LONG_PATIENCE: Duration = Duration::from_secs(3);

/// Asks until `shutdown`.
pub(super) async fn watch(instance: Arc<Instance>, client: HttpClient, shutdown: CancellationToken) {
    let asking = async { tokio::join!(alive(&instance, &client), ready(&instance, &client)) };
    shutdown.run_until_cancelled(asking).await;
}

async fn alive(instance: &Instance, client: &HttpClient) {
    let mut misses = 0;
    loop {
        misses = if ask(instance, client, "/health", PATIENCE).await.is_some() { 0 } else { misses + 1 };
        if misses == 0 || misses >= MISSES {
            instance.checked(|health| health.alive = misses == 0);
        }
        tokio::time::sleep(OFTEN).await;
    }
}

async fn ready(instance: &Instance, client: &HttpClient) {
    loop {
        // No answer at all is the other question.
        if let Some(status) = ask(instance, client, "/ready", LONG_PATIENCE).await {
            instance.checked(|health| health.ready = status.is_success());
        }
        tokio::time::sleep(SELDOM).await;
    }
}

async fn ask(instance: &Instance, client: &HttpClient, path: &'static str, patience: Duration) -> Option<StatusCode> {
    let uri = Uri::builder().scheme("http").authority(instance.authority.clone()).path_and_query(path).build().ok()?;
    let request = Request::get(uri).body(body::whole(bytes::Bytes::new())).ok()?;
    let asked = async {
        let response = client.request(request).await.ok()?;
        let status = response.status();
        // Read to its end, so that the connection can be used again.
        response.into_body().collect().await.ok().map(|_| status)
    };
    tokio::time::timeout(patience, asked).await.ok().flatten()
}
