//! SCIM 2.0 (RFC 7643, RFC 7644): how an identity provider keeps users and groups as it has them.
//!
//! The protocol describes these endpoints, not our contract. Each is a function from a [`Visit`] (who asks, in which tenant, with
//! what) to an [`Answer`]; a refusal of the domain becomes an [`error::ScimError`]. What is written are commands of `user-commands`;
//! one resource is read from the log, lists from the read models, which are waited for, because a provider that has just
//! written asks at once whether it is there.
//!
//! To add an attribute of users: [`user`] (to and from what we keep; what there may be several of: [`contact`]) and [`discovery`] (what we say of it).

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
mod root;
mod user;
mod visit;

use std::sync::Arc;
use std::time::Duration;

use face::Runtime;
use kernel::{Refusal, TenantId};
use poem::endpoint::{BoxEndpoint, EndpointExt, make};
use poem::http::{Method, StatusCode, header};
use poem::{PathPattern, Response};
use projector::Transaction;
use serde_json::Value;
use user_commands::Catalogue;

use self::error::ScimError;
use self::list::Shown;
use self::visit::Visit;

/// The media type of it all.
const MEDIA_TYPE: &str = "application/scim+json";

/// What the endpoints work with. Cheap to clone.
#[derive(Clone)]
struct Scim {
    runtime: Runtime,
    catalogue: Catalogue,
    /// Where `/scim/v2` is, for those who are told where something is.
    base: Arc<str>,
}

/// How long a request waits until the read models have what was written before it.
const PATIENCE: Duration = Duration::from_secs(2);

impl Scim {
    /// The read models with all that was written until now: a provider that has just made somebody asks at once whether they are
    /// there. If they are late, as they are.
    async fn current(&self, tenant: TenantId) -> Result<Transaction, ScimError> {
        let head = self.runtime.store.head().await.map_err(user::unreadable)?;
        if let Err(behind) = self.runtime.read_models.wait_for(tenant, head, PATIENCE).await {
            tracing::debug!(%behind, "SCIM is answered from read models that are behind");
        }
        self.runtime.read_models.begin(tenant).await.map_err(user::unreadable)
    }
}

/// What an endpoint answers.
type Answer = Result<Reply, ScimError>;

/// An answer that is no error.
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

    /// As much of a resource as is wanted. It says itself where it is, and of which version.
    fn resource(status: StatusCode, body: Value, version: u64, shown: &Shown) -> Self {
        let location = body["meta"]["location"].as_str().map(str::to_owned);
        Self { status, body: Some(shown.of_resource(body)), location, version: Some(version) }
    }

    /// 204: it is done, and there is nothing to say.
    fn nothing() -> Self {
        Self { status: StatusCode::NO_CONTENT, body: None, location: None, version: None }
    }

    fn into_response(self) -> Response {
        // Names and addresses of people: nobody on the way keeps them, nor a browser.
        let mut builder = Response::builder().status(self.status).header(header::CACHE_CONTROL, "no-store");
        if let Some(location) = self.location {
            builder = builder.header(header::LOCATION, location);
        }
        if let Some(version) = self.version {
            builder = builder.header(header::ETAG, format!("W/\"{version}\""));
        }
        match self.body {
            Some(body) => builder.header(header::CONTENT_TYPE, MEDIA_TYPE).body(body.to_string()),
            None => builder.finish(),
        }
    }
}

/// An endpoint: its path, its method, and what answers.
pub type Endpoint = (&'static str, Method, BoxEndpoint<'static, Response>);

macro_rules! endpoints {
    ($($method:ident $path:literal => $answer:path),+ $(,)?) => {
        /// Which endpoints there are.
        const PATHS: &[(&str, Method)] = &[$(($path, Method::$method)),+];

        fn endpoints_of(scim: &Scim) -> Vec<Endpoint> {
            vec![$({
            let scim = scim.clone();
            let endpoint = make(move |request: poem::Request| {
                let scim = scim.clone();
                async move {
                    let answer = match Visit::begin(request).await {
                        Ok(visit) => $answer(&scim, visit).await,
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
    POST "/scim/v2/Users/.search" => user::search,
    GET "/scim/v2/Users/:id" => user::read,
    PUT "/scim/v2/Users/:id" => user::replace,
    PATCH "/scim/v2/Users/:id" => user::patch,
    DELETE "/scim/v2/Users/:id" => user::remove,
    GET "/scim/v2/Groups" => group::list,
    POST "/scim/v2/Groups" => group::create,
    POST "/scim/v2/Groups/.search" => group::search,
    GET "/scim/v2/Groups/:id" => group::read,
    PUT "/scim/v2/Groups/:id" => group::replace,
    PATCH "/scim/v2/Groups/:id" => group::patch,
    DELETE "/scim/v2/Groups/:id" => group::remove,
}

/// All endpoints over a running service, which is to be found under `public_url`.
pub fn endpoints(runtime: Runtime, public_url: &str) -> Vec<Endpoint> {
    let catalogue = Catalogue::from(runtime.grants.to_vec());
    let scim = Scim { runtime, catalogue, base: format!("{public_url}/scim/v2").into() };
    endpoints_of(&scim)
}

/// The paths and methods of all of them, for who forwards requests to where the service runs.
pub fn paths() -> impl Iterator<Item = (&'static str, Method)> {
    PATHS.iter().cloned()
}

/// A refusal in SCIM's form: for who could not forward a request.
pub fn refused(refusal: &Refusal, status: StatusCode) -> Response {
    ScimError::from(refusal.clone()).with_status(status).into_response()
}
