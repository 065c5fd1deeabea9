//! The trait that a domain implements to be part of the gateway, and what its handlers, resolvers and jobs run on.

use std::sync::Arc;

use eventstore::EventStore;
use executor::{ClaimHistory, Executor};
use folding::RolePeriod;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use jobs::{JobNames, Jobs, Kinds};
use kernel::{AggregateType, EventType, Grant, Machines, Service, TenantId};
use nats::Bus;
use poem_openapi::OpenApi;
use projector::{Projection, ReadModels};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::graphql::Session;
use crate::{ActiveTenants, Addressees, LiveEvents, Names, Permissions, SigningIn, SigningKeys};

/// Queries for the role history of subjects that belong to a service other than the user service: machines, for example. They run in
/// the request's transaction on that service's read models.
#[derive(Clone, Copy, Debug)]
pub struct RolePeriods {
    /// The periods in which these subjects had each of their roles; ids that the service does not know are left out.
    pub of: for<'t> fn(&'t mut PgConnection, TenantId, &'t [Uuid]) -> Read<'t, RolePeriod>,
    /// The ids of all subjects, current and former, in ascending order: those after the given id, at most as many as the limit.
    pub subjects: for<'t> fn(&'t mut PgConnection, TenantId, Uuid, i64) -> Read<'t, Uuid>,
}

/// The rows of a query.
type Read<'t, T> = BoxFuture<'t, Result<Vec<T>, sqlx::Error>>;

/// What the REST handlers of a domain run on. Cheap to clone.
#[derive(Clone)]
pub struct Runtime {
    /// The service of the domain.
    pub service: Service,
    /// Executes commands.
    pub executor: Executor,
    /// The service's read models.
    pub read_models: ReadModels,
    /// The event log, for histories.
    pub store: EventStore,
    /// The bus.
    pub bus: Bus,
    /// Live events, for subscriptions.
    pub live: LiveEvents,
    /// The service's background jobs.
    pub jobs: Jobs,
    /// The permission tables of all services.
    pub grants: Arc<[Grant]>,
    /// Port: DNS lookups, and which tenant holds which domain.
    pub names: Arc<dyn Names>,
    /// The prefixes of telephone numbers to which text messages may be sent; empty: any number. None: text messages are not sent.
    pub texted: Option<Arc<[String]>>,
    /// Port: the mail addresses of users.
    pub addressees: Arc<dyn Addressees>,
    /// Port: which tenants are active.
    pub active_tenants: Arc<dyn ActiveTenants>,
    /// Port: what the auth service stores about a user.
    pub signing_in: Arc<dyn SigningIn>,
    /// Port: the permissions of subjects.
    pub permissions: Arc<dyn Permissions>,
    /// Port: the current state of machines.
    pub machines: Arc<dyn Machines>,
    /// Port: creates the keys that sign tokens.
    pub signing_keys: Arc<dyn SigningKeys>,
    /// The service's secret, from which keys are derived. It never changes.
    pub secret: ServiceSecret,
    /// Whether requests to servers that a tenant names may go to private network addresses: for development only.
    pub calls_private: bool,
    /// The public base URL, without a trailing slash.
    pub public_url: Arc<str>,
}

/// A secret of a service. `Debug` does not show it.
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
    /// The part of it that GraphQL resolvers need.
    pub fn read_side(&self) -> ReadSide {
        let Self { service, read_models, live, jobs, grants, public_url, .. } = self.clone();
        let job_names = Arc::new(jobs.kinds().into());
        ReadSide { service, read_models, live, job_names, grants, public_url, role_periods: None }
    }
}

/// What jobs need to execute commands. Cheap to clone.
#[derive(Clone)]
pub struct WriteSide {
    /// Executes commands.
    pub executor: Executor,
    /// The permission tables of all services.
    pub grants: Arc<[Grant]>,
    /// Port: the current state of machines.
    pub machines: Arc<dyn Machines>,
}

/// What GraphQL resolvers need to read from a service, whether it runs in this process or in another. Cheap to clone.
#[derive(Clone)]
pub struct ReadSide {
    /// The service.
    pub service: Service,
    /// The service's read models.
    pub read_models: ReadModels,
    /// Live events, for subscriptions.
    pub live: LiveEvents,
    /// The names of the service's kinds and queues of jobs.
    pub job_names: Arc<JobNames>,
    /// The permission tables of all services.
    pub grants: Arc<[Grant]>,
    /// The public base URL, without a trailing slash.
    pub public_url: Arc<str>,
    /// Queries for the role history of the service's own subjects, if it has any.
    pub role_periods: Option<RolePeriods>,
}

/// A domain: a service with its permissions, events, read models, REST and GraphQL.
pub trait Domain: 'static {
    /// Its service.
    const SERVICE: Service;

    /// Whether its read models and sagas decide who may sign in, and what they may do. What these see of an event is then changed (by an
    /// edit or a discard of a dead letter) only by who has all permissions of administrators.
    const DECIDES_ACCESS: bool = false;

    /// Its REST operations, all under `/v1/<service>/`.
    type Rest: OpenApi + 'static;

    /// Its namespace in GraphQL queries: the root field is named after the service.
    type Query: Default + Send + Sync + 'static;

    /// One item of its GraphQL subscriptions: an object with a field for each kind of change that clients can subscribe to.
    type Subscription: Send + Sync + 'static;

    /// Its permission table.
    fn grants() -> &'static [Grant];

    /// Every event type and version that its log may hold.
    fn event_types() -> Vec<EventType>;

    /// Its read models.
    fn projections() -> Vec<Arc<dyn Projection>>;

    /// Queries for the role history of its subjects; none: it has no subjects of its own.
    fn role_periods() -> Option<RolePeriods> {
        None
    }

    /// Its kinds of background jobs, over its read models and its write side. `writing` is none in a process that manages jobs but does
    /// not run them.
    fn jobs(read_models: &ReadModels, write_side: Option<&WriteSide>) -> Kinds;

    /// Its aggregate types, for tools that show any aggregate.
    fn aggregates() -> Vec<AggregateType>;

    /// A fold over its events that computes the claims (unique keys), in its initial state, before the first event.
    fn claims() -> Box<dyn ClaimHistory>;

    /// A stream with one item for each change that concerns one of the `wanted` fields of [`Subscription`](Self::Subscription). The
    /// session is [renewed](Session::renew) before an item's fields are resolved, so that they read the current state.
    fn subscribe(
        session: Arc<Session>,
        wanted: Vec<String>,
    ) -> BoxStream<'static, juniper::FieldResult<Self::Subscription>>;

    /// Its REST operations, which run on `runtime`.
    fn rest(runtime: Runtime) -> Self::Rest;
}
