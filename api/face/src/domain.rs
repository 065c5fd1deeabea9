//! How a domain plugs into the gateway.

use std::sync::Arc;

use eventstore::EventStore;
use executor::{ClaimHistory, Executor};
use folding::RolePeriod;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use jobs::{Jobs, Kinds};
use kernel::{AggregateType, EventType, Grant, Machines, Service, TenantId};
use nats::Bus;
use poem_openapi::OpenApi;
use projector::{Projection, ReadModels};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::graphql::Session;
use crate::{ActiveTenants, Addressees, Live, Names, Permissions, SigningIn, SigningKeys};

/// Tells of subjects that a service knows and the user service does not: machines, for example. It reads in the request's transaction on
/// that service's read models.
#[derive(Clone, Copy, Debug)]
pub struct RolePeriods {
    /// From when to when they had which roles; ids that the service does not know are left out.
    pub of: for<'t> fn(&'t mut PgConnection, TenantId, &'t [Uuid]) -> Read<'t, RolePeriod>,
    /// Who there is and was: at most so many ids after this one, in their order.
    pub subjects: for<'t> fn(&'t mut PgConnection, TenantId, Uuid, i64) -> Read<'t, Uuid>,
}

/// What comes of reading.
type Read<'t, T> = BoxFuture<'t, Result<Vec<T>, sqlx::Error>>;

/// What a domain's handlers and resolvers work with. Cheap to clone.
#[derive(Clone)]
pub struct Runtime {
    /// Whose it is.
    pub service: Service,
    /// Carries commands out.
    pub executor: Executor,
    /// Answers queries.
    pub read_models: ReadModels,
    /// The log itself, for history.
    pub store: EventStore,
    /// The bus.
    pub bus: Bus,
    /// Events as they happen.
    pub live: Live,
    /// What is done while nobody waits for the answer.
    pub jobs: Jobs,
    /// The permission tables of all services.
    pub grants: Arc<[Grant]>,
    /// The domain name system, and who has which domain.
    pub names: Arc<dyn Names>,
    /// How the telephone numbers begin to which text messages go; empty: all of them. None: none are sent.
    pub texted: Option<Arc<[String]>>,
    /// Where mail for people goes.
    pub addressees: Arc<dyn Addressees>,
    /// Which tenants are active.
    pub active_tenants: Arc<dyn ActiveTenants>,
    /// What is known of people where they sign in.
    pub signing_in: Arc<dyn SigningIn>,
    /// Who may do what.
    pub permissions: Arc<dyn Permissions>,
    /// Who makes the keys that sign tokens.
    pub signing_keys: Arc<dyn SigningKeys>,
    /// The service's own secret, the same for ever: keys are derived from it.
    pub secret: ServiceSecret,
    /// Whether tenants may have addresses inside our network called: for development only.
    pub calls_private: bool,
    /// Where we are reached, without a slash at the end.
    pub public_url: Arc<str>,
}

/// A secret of a service: never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct ServiceSecret([u8; 32]);

impl ServiceSecret {
    /// Wraps a secret.
    pub const fn new(secret: [u8; 32]) -> Self {
        Self(secret)
    }

    /// The secret itself.
    pub const fn reveal(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::fmt::Debug for ServiceSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ServiceSecret(…)")
    }
}

impl Runtime {
    /// What reading needs of it.
    pub fn reading(&self) -> Reading {
        let Self { service, read_models, live, grants, public_url, .. } = self.clone();
        Reading { service, read_models, live, grants, public_url, role_periods: None }
    }
}

/// What jobs write with. Cheap to clone.
#[derive(Clone)]
pub struct Writing {
    /// Carries commands out.
    pub executor: Executor,
    /// The permission tables of all services.
    pub grants: Arc<[Grant]>,
    /// Who knows how it stands with machines.
    pub machines: Arc<dyn Machines>,
}

/// What resolvers read a service with, whether it runs in this process or elsewhere. Cheap to clone.
#[derive(Clone)]
pub struct Reading {
    /// Whose it is.
    pub service: Service,
    /// Answers queries.
    pub read_models: ReadModels,
    /// Events as they happen.
    pub live: Live,
    /// The permission tables of all services.
    pub grants: Arc<[Grant]>,
    /// Where we are reached, without a slash at the end.
    pub public_url: Arc<str>,
    /// Tells which roles those had whom this service knows and the user service does not.
    pub role_periods: Option<RolePeriods>,
}

/// A domain: a service with its permissions, events, read models, REST and GraphQL.
pub trait Domain: 'static {
    /// Its service.
    const SERVICE: Service;

    /// Its REST operations, all under `/v1/<service>/`.
    type Rest: OpenApi + 'static;

    /// Its namespace in GraphQL queries: the root field is named after the service.
    type Query: Default + Send + Sync + 'static;

    /// What one turn of its GraphQL subscriptions shows: an object with a field for each thing that can be followed.
    type Subscription: Send + Sync + 'static;

    /// Its permission table.
    fn grants() -> &'static [Grant];

    /// Every event type and version that its log may hold.
    fn catalog() -> Vec<EventType>;

    /// Its read models.
    fn projections() -> Vec<Arc<dyn Projection>>;

    /// Tells which roles its subjects had; none: it has no subjects of its own.
    fn role_periods() -> Option<RolePeriods> {
        None
    }

    /// What can be done for a tenant while nobody waits for the answer, over its read models and its write side; none: jobs are looked
    /// after, not run.
    fn jobs(read_models: &ReadModels, writing: Option<&Writing>) -> Kinds;

    /// Its aggregates, for tools that show any of them.
    fn aggregates() -> Vec<AggregateType>;

    /// What its events did to claims, begun before the first one.
    fn claims() -> Box<dyn ClaimHistory>;

    /// One item for each change that one of the `wanted` fields of [`Subscription`](Self::Subscription) shows. Before an
    /// item's fields are resolved the session is [renewed](Session::renew), so they see what is there then.
    fn subscribe(
        session: Arc<Session>,
        wanted: Vec<String>,
    ) -> BoxStream<'static, juniper::FieldResult<Self::Subscription>>;

    /// Its REST operations over a running service.
    fn rest(runtime: Runtime) -> Self::Rest;
}
