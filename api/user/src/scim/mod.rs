//! SCIM 2.0 (RFC 7643, RFC 7644): an identity provider synchronizes its users and groups with those of the tenant.
//!
//! The endpoints are defined by the protocol, not by our OpenAPI document. Each is a function from a [`ScimRequest`] (caller, tenant,
//! parameters, body) to an [`Answer`]; a refusal of the domain becomes an [`error::ScimError`]. Writes are commands of `user-commands`.
//! A single resource is read from the log; lists are read from the read models after they have caught up with the log, because a
//! provider checks right after a write whether the resource is there.
//!
//! To add an attribute of users: map it in [`user_resource`] (multi-valued contact details in [`contact`]), and describe it in [`discovery`].

mod contact;
mod discovery;
mod error;
mod filter;
mod group;
mod group_change;
mod json;
mod list;
mod me;
mod patch;
mod request;
mod root;
mod user;
mod user_resource;

use std::sync::Arc;
use std::time::Duration;

use face::Runtime;
use kernel::{Refusal, TenantId};
use poem::endpoint::{BoxEndpoint, EndpointExt, make};
use poem::http::{Method, StatusCode, header};
use poem::{PathPattern, Response};
use projector::{BeginError, Transaction};
use serde_json::Value;
use user_commands::Catalogue;

use self::error::ScimError;
use self::list::AttributeSelection;
use self::request::ScimRequest;

/// The media type of requests and responses.
const MEDIA_TYPE: &str = "application/scim+json";

/// The dependencies of the endpoints. Cheap to clone.
#[derive(Clone)]
struct Scim {
    runtime: Runtime,
    catalogue: Catalogue,
    /// The public URL of `/scim/v2`, for the locations of resources.
    base: Arc<str>,
}

/// How long a request waits until the read models have caught up with the log.
const PATIENCE: Duration = Duration::from_secs(2);

impl Scim {
    /// Opens the read models, after waiting until they have caught up with the log: a provider checks right after a write whether the
    /// resource is there. If they don't catch up in time, they are read as they are.
    async fn current(&self, tenant: TenantId) -> Result<Transaction, ScimError> {
        let head = self.runtime.store.head().await.map_err(ScimError::unreadable)?;
        match self.runtime.read_models.begin_at(tenant, head, PATIENCE).await {
            Err(BeginError::Behind(behind)) => {
                tracing::debug!(%behind, "SCIM is answered from read models that are behind");
                self.runtime.read_models.begin(tenant).await.map_err(ScimError::unreadable)
            }
            begun => begun.map_err(ScimError::unreadable),
        }
    }
}

/// The result of an endpoint.
type Answer = Result<Reply, ScimError>;

/// A successful response.
struct Reply {
    status: StatusCode,
    body: Option<Value>,
    location: Option<String>,
    version: Option<u64>,
}

impl Reply {
    /// 200, with a document.
    fn ok(body: Value) -> Self {
        Self { status: StatusCode::OK, body: Some(body), location: None, version: None }
    }

    /// The selected attributes of a resource, with the headers `Location` (from its `meta`) and `ETag`.
    fn resource(status: StatusCode, body: Value, version: u64, attributes: &AttributeSelection) -> Self {
        let location = body["meta"]["location"].as_str().map(str::to_owned);
        Self { status, body: Some(attributes.of_resource(body)), location, version: Some(version) }
    }

    /// 304: the client has this version already.
    fn unchanged(version: u64) -> Self {
        Self { status: StatusCode::NOT_MODIFIED, body: None, location: None, version: Some(version) }
    }

    /// 204, without a body.
    fn nothing() -> Self {
        Self { status: StatusCode::NO_CONTENT, body: None, location: None, version: None }
    }

    fn into_response(self) -> Response {
        // Responses contain personal data, so neither proxies nor browsers may store them.
        let mut builder = Response::builder().status(self.status).header(header::CACHE_CONTROL, "no-store");
        if let Some(location) = self.location {
            builder = builder.header(header::LOCATION, location);
        }
        if let Some(version) = self.version {
            builder = builder.header(header::ETAG, tag(version));
        }
        match self.body {
            Some(body) => builder.header(header::CONTENT_TYPE, MEDIA_TYPE).body(body.to_string()),
            None => builder.finish(),
        }
    }
}

/// The entity tag of a version, which is weak in SCIM (RFC 7644 section 3.14).
fn tag(version: u64) -> String {
    format!("W/\"{version}\"")
}

/// An endpoint: its path, its method and its handler.
pub type Endpoint = (&'static str, Method, BoxEndpoint<'static, Response>);

macro_rules! endpoints {
    ($($method:ident $path:literal => $answer:path),+ $(,)?) => {
        /// The paths and methods of all endpoints.
        const PATHS: &[(&str, Method)] = &[$(($path, Method::$method)),+];

        fn endpoints_of(scim: &Scim) -> Vec<Endpoint> {
            vec![$({
            let scim = scim.clone();
            let endpoint = make(move |request: poem::Request| {
                let scim = scim.clone();
                async move {
                    let answer = match ScimRequest::read(request).await {
                        Ok(incoming) => $answer(&scim, incoming).await,
                        Err(error) => Err(error),
                    };
                    let mut response = answer.map_or_else(|error| error.into_response(), Reply::into_response);
                    response.set_data(PathPattern(Arc::from($path)));
                    Ok::<_, poem::Error>(response)
                }
            });
            ($path, Method::$method, endpoint.boxed())
            }),+]
        }
    };
}

endpoints! {
    GET "/scim/v2/ServiceProviderConfig" => discovery::configuration,
    GET "/scim/v2/ResourceTypes" => discovery::resource_types,
    GET "/scim/v2/ResourceTypes/:name" => discovery::resource_type,
    GET "/scim/v2/Schemas" => discovery::schemas,
    GET "/scim/v2/Schemas/:name" => discovery::schema,
    POST "/scim/v2/.search" => root::search,
    GET "/scim/v2/Me" => me::read,
    POST "/scim/v2/Me" => me::create,
    PUT "/scim/v2/Me" => me::replace,
    PATCH "/scim/v2/Me" => me::patch,
    DELETE "/scim/v2/Me" => me::remove,
    GET "/scim/v2/Users" => user::list,
    POST "/scim/v2/Users" => user::create,
    POST "/scim/v2/Users/.search" => user::list,
    GET "/scim/v2/Users/:id" => user::read,
    PUT "/scim/v2/Users/:id" => user::replace,
    PATCH "/scim/v2/Users/:id" => user::patch,
    DELETE "/scim/v2/Users/:id" => user::remove,
    GET "/scim/v2/Groups" => group::list,
    POST "/scim/v2/Groups" => group::create,
    POST "/scim/v2/Groups/.search" => group::list,
    GET "/scim/v2/Groups/:id" => group::read,
    PUT "/scim/v2/Groups/:id" => group::replace,
    PATCH "/scim/v2/Groups/:id" => group::patch,
    DELETE "/scim/v2/Groups/:id" => group::remove,
}

/// All endpoints of a running service with this public URL.
pub fn endpoints(runtime: Runtime, public_url: &str) -> Vec<Endpoint> {
    let catalogue = Catalogue::from(runtime.grants.to_vec());
    let scim = Scim { runtime, catalogue, base: format!("{public_url}/scim/v2").into() };
    endpoints_of(&scim)
}

/// The paths and methods of all endpoints, for a gateway that forwards requests to the process in which the service runs.
pub fn paths() -> impl Iterator<Item = (&'static str, Method)> {
    PATHS.iter().cloned()
}

/// A refusal as a SCIM error response, for a gateway that could not forward a request.
pub fn refused(refusal: &Refusal, status: StatusCode) -> Response {
    ScimError::from(refusal.clone()).with_status(status).into_response()
}
