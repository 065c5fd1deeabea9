//! The routing table of a process.

pub mod dev_mail;
pub mod forwarding;
mod methods;
mod parameters;
mod well_known;

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;

use auth_api::provider::ClientAddressHeader;
use config::Config;
use face::{Incoming, Problem, ReadSide, Runtime};
use poem::endpoint::BoxEndpoint;
use poem::error::ResponseError;
use poem::http::{HeaderValue, Method, StatusCode, header};
use poem::{Endpoint, IntoResponse, PathPattern, Request, Response, Result, Route};
use poem_openapi::__private::UrlQuery;
use poem_openapi::registry::{MetaApi, Registry};
use remote::Remote;
use tokio_util::sync::CancellationToken;

pub use self::methods::Methods;
use self::parameters::Parameters;
use crate::auth::Verifier;
use crate::auth::denials::DenialRecorder;
use crate::domains::{self, DomainDefinition, RouteTable};
use crate::front::{RateLimiter, unknown_route};
use crate::operations::{self, Pools, Readiness};
use crate::{graphql, reference};

/// What a process serves.
pub struct Served {
    /// The domains that run in this process.
    pub here: Vec<(DomainDefinition, Runtime)>,
    /// The domains that run in other processes, with access to their read models.
    pub elsewhere: Vec<(DomainDefinition, Arc<Remote>, ReadSide)>,
    /// The operations that belong to no domain, over the services in this process.
    pub platform: RouteTable,
}

/// All routes of a process.
pub fn routes(
    config: &Config,
    Served { here, elsewhere, platform }: Served,
    (readiness, pools): (Arc<Readiness>, Pools),
    (verifier, rates, recorder): (Arc<Verifier>, Arc<RateLimiter>, DenialRecorder),
    (client_address, stop): (&ClientAddressHeader, CancellationToken),
) -> Route {
    let remotes: Vec<_> = elsewhere.iter().map(|(_, remote, _)| remote.clone()).collect();
    let read_sides: Vec<_> = here
        .iter()
        .map(|(domain, runtime)| ReadSide { role_periods: domain.role_periods, ..runtime.read_side() })
        .chain(elsewhere.iter().map(|(_, _, read_side)| read_side.clone()))
        .collect();
    let platform = forwarding::shared(platform, &remotes, !here.is_empty(), (client_address, &stop));
    let mut route = rest(Route::new(), platform, domains::describe_platform);
    for (domain, runtime) in here {
        route = rest(route, (domain.routes)(runtime), domain.describe);
    }
    for (domain, remote, _) in &elsewhere {
        route = rest(route, forwarding::operations(domain.describe, remote, (client_address, &stop)), domain.describe);
    }
    let route = operations::routes(route, readiness, pools);
    let route = reference::routes(route);
    let route = well_known::routes(route, &verifier);
    graphql::routes(route, config, read_sides, (verifier, rates, recorder), stop)
}

/// Adds the routes that are not in the contract, because standards define them: the tenants' issuers and SCIM, here or forwarded.
pub fn protocols(
    route: Route,
    issuers: Vec<auth_api::provider::Endpoint>,
    scim: Vec<user_api::scim::Endpoint>,
) -> Route {
    let served = !scim.is_empty();
    let route = by_path(issuers).into_iter().fold(route, |route, (path, methods)| route.at(path, methods));
    let route = by_path(scim).into_iter().fold(route, |route, (path, methods)| route.at(path, ScimErrors(methods)));
    if served { route.at("/scim/v2/*path", ScimErrors(UnknownRoute)) } else { route }
}

fn by_path(endpoints: Vec<(&'static str, Method, BoxEndpoint<'static, Response>)>) -> HashMap<&'static str, Methods> {
    let mut paths: HashMap<&'static str, Methods> = HashMap::new();
    for (path, method, endpoint) in endpoints {
        let methods = paths.remove(path).unwrap_or_else(Methods::new).on(method, endpoint);
        paths.insert(path, methods);
    }
    paths
}

/// Converts every error of a SCIM request to SCIM's form (RFC 7644 section 3.12).
struct ScimErrors<E>(E);

impl<E: Endpoint<Output = Response>> Endpoint for ScimErrors<E> {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        let problem = match self.0.call(request).await {
            Ok(response) => return Ok(response),
            Err(error) => error.downcast::<Problem>()?,
        };
        let mut response = user_api::scim::refused(problem.refusal(), problem.status());
        if let Some(allowed) = problem.respond(None).headers().get(header::ALLOW) {
            response.headers_mut().insert(header::ALLOW, allowed.clone());
        }
        Ok(response)
    }
}

/// Refuses requests to unknown paths.
struct UnknownRoute;

impl Endpoint for UnknownRoute {
    type Output = Response;

    async fn call(&self, _: Request) -> Result<Response> {
        Err(Problem::from(unknown_route()).into())
    }
}

/// Adds the REST operations of `table`, which `describe` describes for the contract.
fn rest(route: Route, table: RouteTable, describe: fn(&mut Registry) -> Vec<MetaApi>) -> Route {
    let documented = documented_paths(describe);
    table.into_iter().fold(route, |route, (path, methods)| {
        let Documented { pattern, parameters, public } = documented.get(&path).cloned().unwrap_or_default();
        let methods = methods.into_iter().fold(Methods::new(), |route, (method, endpoint)| {
            let pattern = PathPattern(pattern.clone());
            route.on(method, Rest { endpoint, pattern, parameters: parameters.clone(), public })
        });
        route.at(path, methods)
    })
}

/// A REST operation. It checks parameters, and passes the query string in the form that poem-openapi expects. Errors are returned as
/// errors, so that the front converts them to problem documents.
struct Rest {
    endpoint: BoxEndpoint<'static>,
    /// The path in the contract: the label of metrics and traces.
    pattern: PathPattern,
    parameters: Parameters,
    /// Whether it needs no token: the contract has no security scheme for it.
    public: bool,
}

/// The data of a path in the contract.
#[derive(Clone, Default)]
struct Documented {
    pattern: Arc<str>,
    parameters: Parameters,
    public: bool,
}

/// The route of a path in the contract: poem-openapi names the parameters of its routes `:param0`, `:param1` …
pub fn numbered_route(path: &str) -> String {
    let mut parts = path.split('{');
    let mut route = parts.next().unwrap_or_default().to_owned();
    for (index, part) in parts.enumerate() {
        let _ = write!(route, ":param{index}{}", part.split_once('}').map_or("", |(_, rest)| rest));
    }
    route
}

/// The paths in the contract, by their routes.
fn documented_paths(describe: fn(&mut Registry) -> Vec<MetaApi>) -> HashMap<String, Documented> {
    let paths = describe(&mut Registry::new()).into_iter().flat_map(|api| api.paths);
    paths
        .map(|path| {
            let route = numbered_route(&path.path);
            // A path is public only if none of its operations needs a token.
            let public = path.operations.iter().all(|operation| operation.security.is_empty());
            let parameters: Vec<_> = path.operations.into_iter().flat_map(|operation| operation.params).collect();
            let parameters = Parameters::of(&path.path, &parameters);
            (route, Documented { pattern: path.path.as_str().into(), parameters, public })
        })
        .collect()
}

impl Rest {
    async fn answer(&self, mut request: Request) -> Result<Response> {
        // First of all, so that an unauthenticated client learns nothing about the parameters.
        if !self.public {
            Incoming::of(&request).and_then(|incoming| incoming.identity.caller()).map_err(Problem::from)?;
        }
        let query = self.parameters.check(&request).map_err(Problem::from)?;
        request.extensions_mut().insert(UrlQuery(query));
        match self.endpoint.call(request).await {
            Ok(response) => Ok(response.into_response()),
            Err(error) => Err(self.parameters.problem(&error).map_or(error, Into::into)),
        }
    }
}

/// Sets `Cache-Control` for a response to an authenticated request (RFC 9111 section 5.2.2): it must not be stored, because it may contain
/// secrets or personal data. Only a versioned resource may be stored by the client, which must revalidate it each time.
fn set_cache_control(response: &mut Response, reads: bool) {
    let versioned = response.status() == StatusCode::OK && response.headers().contains_key(header::ETAG);
    let value = if reads && versioned { "private, no-cache" } else { "no-store" };
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static(value));
}

impl Endpoint for Rest {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        let reads = [Method::GET, Method::HEAD].contains(request.method());
        match self.answer(request).await {
            Ok(mut response) => {
                response.set_data(self.pattern.clone());
                // Problem documents (also forwarded ones) contain nothing that a cache must not store.
                if !self.public && !response.status().is_client_error() && !response.status().is_server_error() {
                    set_cache_control(&mut response, reads);
                }
                Ok(response)
            }
            Err(mut error) => {
                error.set_data(self.pattern.clone());
                Err(error)
            }
        }
    }
}
