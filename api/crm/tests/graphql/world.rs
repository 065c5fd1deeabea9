//! A running CRM service for tests, and the queries of its callers.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};
use crm_api::graphql::{CrmQuery, CrmSubscription};
use crm_api::{Crm, SERVICE};
use crm_commands::{CaptureLead, CreatePipeline, LeadFields, PipelineIds, StageFields};
use eventstore::{EventStore, Relay};
use executor::{Executor, Request};
use face::graphql::{Context, Session};
use face::{Domain, LiveEvents, MinPositions, Runtime};
use juniper::{EmptyMutation, EmptySubscription, RootNode, Variables, graphql_object};
use kernel::{Caller, Position, Refusal, Role, SystemClock, SystemIds, TenantId};
use nats::{Bus, Credentials};
use projector::{Projector, ReadModels};
use serde_json::Value;
use sqlx::{Connection as _, Executor as _, PgConnection};
use tokio_util::sync::CancellationToken;

pub struct World {
    pub runtime: Runtime,
    pub tenant: TenantId,
    position: Mutex<Position>,
    shutdown: CancellationToken,
    database: testbed::Database,
    _nats: testbed::Nats,
}

/// The root query as the gateway composes it: the domain's namespace, and one item of a subscription.
struct Root {
    item: Option<CrmSubscription>,
}

#[graphql_object(context = Context)]
impl Root {
    fn crm() -> CrmQuery {
        CrmQuery
    }

    fn item(&self) -> Option<&CrmSubscription> {
        self.item.as_ref()
    }
}

impl World {
    pub async fn start() -> Self {
        let (database, nats) = (testbed::Database::fresh("crm").await, testbed::Nats::start().await);
        let projections = Crm::projections();
        projector::migrate(&database.superuser(), &database, &projections).await.unwrap();
        let (clock, ids) = (Arc::new(SystemClock), Arc::new(SystemIds));
        let store = EventStore::open(&database, eventstore::Settings::default(), clock.clone()).await.unwrap();
        let bus = Bus::connect(&nats::Settings::new(nats.url(), Credentials::None, "a test")).await.unwrap();
        let shutdown = CancellationToken::new();
        tokio::spawn(Relay::new(store.clone(), bus.clone()).run(shutdown.clone()));
        let settings = projector::Settings::default();
        let projector = Projector::new(&database, store.clone(), bus.clone(), SERVICE, projections.clone(), settings);
        let read_models = ReadModels::new(&database, &projections, Some(projector.progress()));
        tokio::spawn(projector.run(shutdown.clone()));
        let settings = executor::Settings { cache_bytes: 1 << 20, snapshot_events: 0, claim_key: [7; 32] };
        let executor = Executor::new(store.clone(), clock.clone(), ids.clone(), settings);
        let live = LiveEvents::new(bus.clone(), SERVICE);
        let sources = jobs::Sources { clock, ids };
        let settings = jobs::Settings::default();
        let jobs = jobs::Jobs::open(&database, Some(bus.clone()), Crm::jobs(&read_models, None), settings, sources);
        let (grants, secret) = (Crm::grants().into(), face::ServiceSecret::new([7; 32]));
        let runtime = Runtime {
            service: SERVICE,
            executor,
            read_models,
            store,
            bus,
            live,
            jobs,
            grants,
            permissions: Arc::new(face::NoPermissions),
            machines: Arc::new(kernel::NoMachines),
            signing_keys: Arc::new(face::NoSigningKeys),
            signing_in: Arc::new(face::NobodySignsIn),
            names: face::no_names(),
            texted: None,
            addressees: face::no_addressees(),
            active_tenants: face::all_tenants_active(),
            secret,
            calls_private: false,
            public_url: "".into(),
        };
        let position = Mutex::new(Position::START);
        Self { runtime, tenant: testbed::tenant(), position, shutdown, database, _nats: nats }
    }

    /// Executes an SQL statement as the database's superuser.
    pub async fn sql(&self, statement: &str) {
        let mut superuser = PgConnection::connect_with(&self.database.superuser()).await.unwrap();
        superuser.execute(statement).await.unwrap();
    }

    pub fn caller(&self, roles: &[Role]) -> Caller {
        Caller::new(self.tenant, "grace", roles, Crm::grants())
    }

    /// Carries a command out as the tenant's administrator, now or at an earlier time.
    pub async fn command<C: executor::Command>(
        &self,
        occurred_at: Option<DateTime<Utc>>,
        command: C,
    ) -> Result<C::Answer, Refusal> {
        let executor = &self.runtime.executor;
        let request = Request { occurred_at, ..executor.internal_request(&self.caller(&[Role::Admin]), None) };
        let done = executor.execute(&request, &command).await?;
        *self.position.lock().unwrap() = done.position;
        Ok(done.answer)
    }

    pub async fn lead(&self, name: &str) -> crm_aggregates::LeadId {
        let details =
            LeadFields { name: name.to_owned(), email: Some(format!("{name}@example.com")), ..LeadFields::default() };
        let source = crm_aggregates::LeadSource::Website;
        self.command(None, CaptureLead { details, source, owner: None }).await.unwrap()
    }

    pub async fn pipeline(&self, at: Option<DateTime<Utc>>) -> PipelineIds {
        let stage =
            |name: &str, probability| StageFields { name: name.to_owned(), probability, rotten_after_days: None };
        let stages = vec![stage("First", 10), stage("Second", 50)];
        self.command(at, CreatePipeline { name: "Sales".to_owned(), stages }).await.unwrap()
    }

    /// A session whose queries wait until the read models have the last command's events.
    pub fn session(&self, caller: Caller) -> Arc<Session> {
        let wanted =
            MinPositions::parse(&format!("crm={}", self.position.lock().unwrap()), &[crm_api::Crm::SERVICE]).unwrap();
        Arc::new(Session::new(caller, [self.runtime.read_side()], wanted, Duration::from_secs(20)))
    }

    /// Queries fields of `crm` as the tenant's administrator. Panics if there are errors.
    pub async fn ask(&self, fields: &str) -> Value {
        let (data, errors) = self.ask_as(self.caller(&[Role::Admin]), fields).await;
        assert_eq!(errors, Value::Array(Vec::new()), "{fields}");
        data
    }

    /// Queries fields of `crm`, and returns their data and the errors.
    pub async fn ask_as(&self, caller: Caller, fields: &str) -> (Value, Value) {
        let (mut data, errors) = self.execute(None, self.session(caller), &format!("{{ crm {{ {fields} }} }}")).await;
        (data["crm"].take(), errors)
    }

    /// Queries fields of `crm` as the tenant's administrator, and returns the code of the first error.
    pub async fn refused(&self, fields: &str) -> String {
        let (_, errors) = self.ask_as(self.caller(&[Role::Admin]), fields).await;
        errors[0]["extensions"]["code"].as_str().unwrap_or_default().to_owned()
    }

    /// Resolves fields of one item of a subscription.
    pub async fn item(&self, item: CrmSubscription, session: Arc<Session>, fields: &str) -> Value {
        let (mut data, errors) = self.execute(Some(item), session, &format!("{{ item {{ {fields} }} }}")).await;
        assert_eq!(errors, Value::Array(Vec::new()), "{fields}");
        data["item"].take()
    }

    async fn execute(&self, item: Option<CrmSubscription>, session: Arc<Session>, query: &str) -> (Value, Value) {
        let schema = RootNode::new(Root { item }, EmptyMutation::<Context>::new(), EmptySubscription::<Context>::new());
        let context = Context::new(session);
        let (data, errors) = juniper::execute(query, None, &schema, &Variables::new(), &context).await.unwrap();
        (serde_json::to_value(data).unwrap(), serde_json::to_value(errors).unwrap())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}
