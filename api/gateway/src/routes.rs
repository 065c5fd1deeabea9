//! Which path leads where.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;

use face::Runtime;
use poem::endpoint::BoxEndpoint;
use poem::{Endpoint, IntoResponse, PathPattern, Request, Response, Result, Route};
use poem_openapi::__private::UrlQuery;
use poem_openapi::registry::Registry;
use tokio_util::sync::CancellationToken;

use crate::auth::Verifier;
use crate::config::Config;
use crate::domains::Part;
use crate::methods::Methods;
use crate::operations::{self, Pools, Readiness};
use crate::{graphql, reference};

/// All routes of a process that serves these domains.
pub fn routes(
    config: &Config,
    served: Vec<(Part, Runtime)>,
    readiness: Arc<Readiness>,
    verifier: Arc<Verifier>,
    stop: CancellationToken,
) -> Route {
    let runtimes: Vec<_> = served.iter().map(|(_, runtime)| runtime.clone()).collect();
    let pools = Pools::new(&runtimes);
    let mut route = Route::new();
    for (part, runtime) in served {
        let documented = documented_paths(&part);
        for (path, methods) in (part.routes)(runtime) {
            let pattern: Arc<str> = documented.get(&path).unwrap_or(&path).as_str().into();
            let methods = methods.into_iter().fold(Methods::new(), |route, (method, endpoint)| {
                route.on(method, Rest { endpoint, pattern: PathPattern(pattern.clone()) })
            });
            route = route.at(path, methods);
        }
    }
    let route = operations::routes(route, readiness, pools);
    let route = reference::routes(route);
    graphql::routes(route, config, runtimes, verifier, stop)
}

/// A REST operation. It is given the query string as poem-openapi's parameters want it; its errors go on as errors, so that
/// the front makes problems of them.
struct Rest {
    endpoint: BoxEndpoint<'static>,
    /// The path as the contract has it: the label of metrics and traces.
    pattern: PathPattern,
}

/// The contract's path of each route: poem-openapi calls the parameters of its routes `:param0`, `:param1` …
fn documented_paths(part: &Part) -> HashMap<String, String> {
    let paths = (part.describe)(&mut Registry::new()).into_iter().flat_map(|api| api.paths);
    paths
        .map(|path| {
            let mut parts = path.path.split('{');
            let mut route = parts.next().unwrap_or_default().to_owned();
            for (index, part) in parts.enumerate() {
                let _ = write!(route, ":param{index}{}", part.split_once('}').map_or("", |(_, rest)| rest));
            }
            (route, path.path)
        })
        .collect()
}

impl Endpoint for Rest {
    type Output = Response;

    async fn call(&self, mut request: Request) -> Result<Response> {
        let query = if request.uri().query().is_some() { request.params().unwrap_or_default() } else { Vec::new() };
        request.extensions_mut().insert(UrlQuery(query));
        match self.endpoint.call(request).await {
            Ok(response) => {
                let mut response = response.into_response();
                response.set_data(self.pattern.clone());
                Ok(response)
            }
            Err(mut error) => {
                error.set_data(self.pattern.clone());
                Err(error)
            }
        }
    }
}
