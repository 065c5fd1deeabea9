//! The routes of services that run in other processes.

use std::sync::Arc;

use auth_api::provider::ClientAddressHeader;
use face::Problem;
use kernel::Refusal;
use poem::endpoint::BoxEndpoint;
use poem::error::ResponseError;
use poem::http::Method;
use poem::{Endpoint, EndpointExt, PathPattern, Request, Response};
use poem_openapi::registry::{MetaApi, Registry};
use remote::{Forward, ForwardedHeaders, Remote};
use tokio_util::sync::CancellationToken;

use super::numbered_route;
use crate::domains::RouteTable;

/// What every forwarding endpoint needs: the source of client addresses, and the token that is cancelled when this process stops.
type With<'w> = (&'w ClientAddressHeader, &'w CancellationToken);

fn forward(remote: &Arc<Remote>, headers: ForwardedHeaders, (client_address, stop): With<'_>) -> ServiceForward {
    let forward = Forward { remote: remote.clone(), stop: stop.clone(), headers };
    ServiceForward { forward, client_address: client_address.clone() }
}

/// Forwards to a service, and tells it the address of the client.
#[derive(Clone)]
struct ServiceForward {
    forward: Forward,
    client_address: ClientAddressHeader,
}

impl Endpoint for ServiceForward {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        self.client_address.set_header(&mut request);
        self.forward.call(request).await
    }
}

/// The REST operations in a service's contract, forwarded.
pub fn operations(describe: fn(&mut Registry) -> Vec<MetaApi>, remote: &Arc<Remote>, with: With<'_>) -> RouteTable {
    let mut table = RouteTable::new();
    for path in describe(&mut Registry::new()).into_iter().flat_map(|api| api.paths) {
        let methods = table.entry(numbered_route(&path.path)).or_default();
        for operation in path.operations {
            methods.insert(operation.method, forward(remote, ForwardedHeaders::Plain, with).boxed());
        }
    }
    table
}

/// The endpoints and pages of the tenants' issuers, forwarded.
pub fn issuers(remote: &Arc<Remote>, with: With<'_>) -> Vec<(&'static str, Method, BoxEndpoint<'static, Response>)> {
    let page = forward(remote, ForwardedHeaders::Page, with);
    auth_api::provider::paths().map(|(path, method)| (path, method, page.clone().boxed())).collect()
}

/// The SCIM endpoints, by which identity providers manage users, forwarded.
pub fn scim(remote: &Arc<Remote>, with: With<'_>) -> Vec<(&'static str, Method, BoxEndpoint<'static, Response>)> {
    let forward = forward(remote, ForwardedHeaders::Plain, with);
    let endpoint = |path| Scim { forward: forward.clone(), pattern: PathPattern(Arc::from(path)) }.boxed();
    user_api::scim::paths().map(|(path, method)| (path, method, endpoint(path))).collect()
}

/// A forwarded SCIM endpoint. If the service does not answer, the error has SCIM's form, too.
struct Scim {
    forward: ServiceForward,
    pattern: PathPattern,
}

impl Endpoint for Scim {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        let mut response = match self.forward.call(request).await {
            Ok(response) => response,
            Err(error) => match error.downcast::<Problem>() {
                Ok(problem) => user_api::scim::refused(problem.refusal(), problem.status()),
                Err(error) => return Err(error),
            },
        };
        response.set_data(self.pattern.clone());
        Ok(response)
    }
}

/// The operations that every service has (sagas, jobs, dead letters, events). Requests that concern a service in another process are
/// forwarded to it. `here`: whether services run in this process, too.
pub fn shared(table: RouteTable, remotes: &[Arc<Remote>], here: bool, with: With<'_>) -> RouteTable {
    if remotes.is_empty() {
        return table;
    }
    let forwards: Arc<[ServiceForward]> =
        remotes.iter().map(|remote| forward(remote, ForwardedHeaders::Plain, with)).collect();
    let by_path = ["/v1/sagas/:", "/v1/jobs/:", "/v1/dead-letters/:"];
    let wrap = |path: &str, local: BoxEndpoint<'static>| {
        let named_by = if by_path.iter().any(|prefix| path.starts_with(prefix)) {
            NamedBy::Path
        } else if is_named_by_request(path) {
            NamedBy::Request
        } else {
            return local;
        };
        Shared { local, forwards: forwards.clone(), here, named_by }.boxed()
    };
    table
        .into_iter()
        .map(|(path, methods)| {
            let methods = methods.into_iter().map(|(method, local)| (method, wrap(&path, local))).collect();
            (path, methods)
        })
        .collect()
}

/// Whether the query string or a header of a request names the service: operations on events, feeds and webhooks. (Event types are the
/// same in every process.)
pub fn is_named_by_request(path: &str) -> bool {
    path.starts_with("/v1/events") && !path.starts_with("/v1/events/types")
}

/// An operation that every service has: the request names the service, and so decides where it is forwarded.
struct Shared {
    local: BoxEndpoint<'static>,
    forwards: Arc<[ServiceForward]>,
    /// Whether services run in this process, too.
    here: bool,
    named_by: NamedBy,
}

/// Where a request names the service.
#[derive(Clone, Copy)]
enum NamedBy {
    /// In the first parameter of the path.
    Path,
    /// In the parameter `service` of the query string or in the header `X-Service`; required if there are several possible targets.
    Request,
}

impl Shared {
    /// The target of a request; `None`: this process.
    fn forward(&self, request: &Request) -> Result<Option<&ServiceForward>, Refusal> {
        let query: Vec<(String, String)> = request.params().unwrap_or_default();
        let named = match self.named_by {
            NamedBy::Path => request.raw_path_param("param0"),
            NamedBy::Request => {
                let queried = query.iter().find(|(name, _)| name == "service").map(|(_, value)| value.as_str());
                queried.or_else(|| request.header("x-service"))
            }
        };
        let found = named.and_then(|name| self.forwards.iter().find(|one| one.forward.remote.service.name() == name));
        match (found, &*self.forwards) {
            (Some(found), _) => Ok(Some(found)),
            // The only possible target, which also refuses unknown services.
            (None, [only]) if !self.here => Ok(Some(only)),
            (None, _) if named.is_some() => Ok(None),
            (None, several) => {
                let names: Vec<_> = several.iter().map(|one| one.forward.remote.service.name()).collect();
                let detail = format!(
                    "the services of this installation run in separate processes ({}): name one in the header X-Service",
                    names.join(", ")
                );
                Err(Refusal::invalid("service_unnamed", detail).with("header", "x-service"))
            }
        }
    }
}

impl Endpoint for Shared {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        match self.forward(&request).map_err(Problem::from)? {
            Some(forward) => forward.call(request).await,
            None => self.local.call(request).await,
        }
    }
}
