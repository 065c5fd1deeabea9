//! Which operations lead to which service elsewhere.

use std::sync::Arc;

use auth_api::provider::SeenFrom;
use face::Problem;
use kernel::Refusal;
use poem::endpoint::BoxEndpoint;
use poem::error::ResponseError;
use poem::http::Method;
use poem::{Endpoint, EndpointExt, PathPattern, Request, Response};
use poem_openapi::registry::{MetaApi, Registry};
use remote::{Forward, Kept, Remote};
use tokio_util::sync::CancellationToken;

use super::numbered_route;
use crate::domains::RouteTable;

/// What all that is forwarded needs: who tells from where it was asked, and when this process stops.
type With<'w> = (&'w SeenFrom, &'w CancellationToken);

fn forward(remote: &Arc<Remote>, kept: Kept, (seen_from, stop): With<'_>) -> Told {
    let forward = Forward { remote: remote.clone(), stop: stop.clone(), kept };
    Told { forward, seen_from: seen_from.clone() }
}

/// What is forwarded: the service is told from where it was asked.
#[derive(Clone)]
struct Told {
    forward: Forward,
    seen_from: SeenFrom,
}

impl Endpoint for Told {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        self.seen_from.tell(&mut request);
        self.forward.call(request).await
    }
}

/// The operations that a service's contract describes, forwarded.
pub fn operations(describe: fn(&mut Registry) -> Vec<MetaApi>, remote: &Arc<Remote>, with: With<'_>) -> RouteTable {
    let mut table = RouteTable::new();
    for path in describe(&mut Registry::new()).into_iter().flat_map(|api| api.paths) {
        let methods = table.entry(numbered_route(&path.path)).or_default();
        for operation in path.operations {
            methods.insert(operation.method, forward(remote, Kept::Plain, with).boxed());
        }
    }
    table
}

/// What the tenants' issuers offer, forwarded.
pub fn issuers(remote: &Arc<Remote>, with: With<'_>) -> Vec<(&'static str, Method, BoxEndpoint<'static, Response>)> {
    let page = forward(remote, Kept::Page, with);
    auth_api::provider::paths().map(|(path, method)| (path, method, page.clone().boxed())).collect()
}

/// What identity providers keep people by, forwarded.
pub fn scim(remote: &Arc<Remote>, with: With<'_>) -> Vec<(&'static str, Method, BoxEndpoint<'static, Response>)> {
    let forward = forward(remote, Kept::Plain, with);
    let endpoint = |path| Scim { forward: forward.clone(), pattern: PathPattern(Arc::from(path)) }.boxed();
    user_api::scim::paths().map(|(path, method)| (path, method, endpoint(path))).collect()
}

/// An endpoint of SCIM. Where the service can't be asked that is said in SCIM's form, too.
struct Scim {
    forward: Told,
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

/// The operations that all services share (sagas, jobs, dead letters, events), forwarded where they are about a service that runs elsewhere.
/// `here`: whether other services run in this process.
pub fn shared(table: RouteTable, remotes: &[Arc<Remote>], here: bool, with: With<'_>) -> RouteTable {
    if remotes.is_empty() {
        return table;
    }
    let forwards: Arc<[Told]> = remotes.iter().map(|remote| forward(remote, Kept::Plain, with)).collect();
    let wrap = |path: &str, local: BoxEndpoint<'static>| {
        let whose = if ["/v1/sagas/:", "/v1/jobs/:", "/v1/dead-letters/:"].iter().any(|prefix| path.starts_with(prefix))
        {
            Whose::Path
        } else if is_named_by_request(path) {
            Whose::Request
        } else {
            return local;
        };
        Shared { local, forwards: forwards.clone(), here, whose }.boxed()
    };
    table
        .into_iter()
        .map(|(path, methods)| {
            let methods = methods.into_iter().map(|(method, local)| (method, wrap(&path, local))).collect();
            (path, methods)
        })
        .collect()
}

/// Whether the request says of which service this operation is: events, and who follows them. Their types are the program's.
pub fn is_named_by_request(path: &str) -> bool {
    path.starts_with("/v1/events") && !path.starts_with("/v1/events/types")
}

/// An operation of which it hangs on the request where it leads.
struct Shared {
    local: BoxEndpoint<'static>,
    forwards: Arc<[Told]>,
    /// Whether other services run in this process.
    here: bool,
    whose: Whose,
}

/// What names the service.
#[derive(Clone, Copy)]
enum Whose {
    /// The first parameter of the path.
    Path,
    /// The parameter `service` of the query string or the header `X-Service`; needed where there are several places to go to.
    Request,
}

impl Shared {
    fn forward(&self, request: &Request) -> Result<Option<&Told>, Refusal> {
        let query: Vec<(String, String)> = request.params().unwrap_or_default();
        let named = match self.whose {
            Whose::Path => request.raw_path_param("param0"),
            Whose::Request => {
                let queried = query.iter().find(|(name, _)| name == "service").map(|(_, value)| value.as_str());
                queried.or_else(|| request.header("x-service"))
            }
        };
        let found = named.and_then(|name| self.forwards.iter().find(|one| one.forward.remote.service.name() == name));
        match (found, &*self.forwards) {
            (Some(found), _) => Ok(Some(found)),
            // There is no other place, also to be told that there is no such service.
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
