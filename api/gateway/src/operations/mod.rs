//! The endpoints for operators: `/health`, `/ready` and `/metrics`.

pub mod consumers;
mod pools;
mod ready;

use std::sync::Arc;

use poem::http::{HeaderValue, header};
use poem::{Endpoint, Response, Route, endpoint::make, endpoint::make_sync};

pub use pools::Pools;
pub use ready::Readiness;

use crate::routes::Methods;
use crate::telemetry;

/// `/health`, `/ready` and `/metrics`.
pub fn routes(route: Route, readiness: Arc<Readiness>, pools: Pools) -> Route {
    Pools::describe();
    route
        .at("/health", Methods::get(make_sync(|_| json(&serde_json::json!({ "status": "alive" })))))
        .at("/ready", Methods::get(ready(readiness)))
        .at("/metrics", Methods::get(make_sync(move |_| exposition(&pools))))
}

fn ready(readiness: Arc<Readiness>) -> impl Endpoint<Output = Response> {
    make(move |_| {
        let readiness = readiness.clone();
        async move {
            let report = readiness.report().await;
            let mut response = json(&*report);
            response.set_status(report.status.http());
            response
        }
    })
}

/// The answer of `/metrics`.
pub fn exposition(pools: &Pools) -> Response {
    pools.observe();
    let text = telemetry::metrics().map(metrics_exporter_prometheus::PrometheusHandle::render).unwrap_or_default();
    Response::builder().content_type("text/plain; version=0.0.4; charset=utf-8").body(text)
}

fn json(body: &impl serde::Serialize) -> Response {
    let mut response =
        Response::builder().content_type("application/json").body(serde_json::to_vec(body).unwrap_or_default());
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
