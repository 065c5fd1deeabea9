//! Which path leads where.

use std::sync::Arc;

use face::Runtime;
use poem::endpoint::BoxEndpoint;
use poem::{Endpoint, IntoResponse, Request, Response, Result, Route, RouteMethod};
use poem_openapi::__private::UrlQuery;
use tokio_util::sync::CancellationToken;

use crate::auth::Verifier;
use crate::config::Config;
use crate::domains::Part;
use crate::operations::{self, Readiness};
use crate::{graphql, reference};

/// All routes of a process that serves these domains.
pub fn routes(
    config: &Config,
    served: Vec<(Part, Runtime)>,
    readiness: Arc<Readiness>,
    verifier: Arc<Verifier>,
    stop: CancellationToken,
) -> Route {
    let runtimes = served.iter().map(|(_, runtime)| runtime.clone()).collect();
    let mut route = Route::new();
    for (part, runtime) in served {
        for (path, methods) in (part.routes)(runtime) {
            let methods = methods
                .into_iter()
                .fold(RouteMethod::new(), |route, (method, endpoint)| route.method(method, Rest(endpoint)));
            route = route.at(path, methods);
        }
    }
    let route = operations::routes(route, readiness);
    let route = reference::routes(route);
    graphql::routes(route, config, runtimes, verifier, stop)
}

/// A REST operation. It is given the query string as poem-openapi's parameters want it; its errors go on as errors, so that
/// the front makes problems of them.
struct Rest(BoxEndpoint<'static>);

impl Endpoint for Rest {
    type Output = Response;

    async fn call(&self, mut request: Request) -> Result<Response> {
        let query = if request.uri().query().is_some() { request.params().unwrap_or_default() } else { Vec::new() };
        request.extensions_mut().insert(UrlQuery(query));
        self.0.call(request).await.map(IntoResponse::into_response)
    }
}
