//! The test environment: a log, a bus, tables, and a deliverer.

use std::sync::Arc;
use std::time::Duration;

use eventstore::admin::Mode;
use eventstore::{Append, CommandRecord, EventStore, NewEvent, Relay, StreamAppend};
use kernel::{Backoff, Caller, Clock, EventType, Grant, IdSource, Position, Role, SystemClock, SystemIds, TenantId};
use nats::{Bus, Credentials};
use sqlx::{Connection, PgConnection};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;
use webhooks::{
    Changed, Deliverer, Endpoint, EndpointCommand, EndpointFields, Guard, Request, Settings, Sources,
    SystemRandomSource, Webhooks,
};

const HISTORY: Grant = Grant { permission: "demo:history:read", roles: &[Role::Admin, Role::Auditor], meaning: "" };

pub struct World {
    pub database: testbed::Database,
    pub nats: testbed::Nats,
    pub store: EventStore,
    pub bus: Bus,
    pub webhooks: Webhooks,
    pub tenant: TenantId,
    pub stop: CancellationToken,
    tasks: TaskTracker,
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Settings with which tests do not take longer than necessary.
pub fn quick() -> Settings {
    Settings {
        guard: Guard { allow_private: true },
        timeout: Duration::from_secs(5),
        backoff: Backoff { first: Duration::from_millis(20), longest: Duration::from_millis(200) },
        poll_interval: Duration::from_millis(500),
        ..Settings::default()
    }
}

pub fn fields(url: &str) -> EndpointFields {
    EndpointFields { url: url.to_owned(), ..EndpointFields::default() }
}

impl World {
    pub async fn start() -> Self {
        Self::with(quick()).await
    }

    pub async fn with(settings: Settings) -> Self {
        let world = Self::idle(settings).await;
        world.deliver();
        world
    }

    /// An environment without a deliverer.
    pub async fn idle(settings: Settings) -> Self {
        let database = testbed::Database::fresh("demo").await;
        assert!(webhooks::migrate(&database.admin(), &database, Mode::DryRun).await.unwrap());
        assert!(webhooks::migrate(&database.admin(), &database, Mode::Apply).await.unwrap());
        assert!(!webhooks::migrate(&database.admin(), &database, Mode::Apply).await.unwrap());
        let nats = testbed::Nats::start().await;
        let store = EventStore::open(&database, eventstore::Settings::default(), Arc::new(SystemClock)).await.unwrap();
        let bus = Bus::connect(&nats::Settings::new(nats.url(), Credentials::None, "test")).await.unwrap();
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(Relay::new(store.clone(), bus.clone()).run(stop.clone()));
        let webhooks = open(&database, &bus, settings, Arc::new(SystemClock));
        Self { database, nats, store, bus, webhooks, tenant: testbed::tenant(), stop, tasks }
    }

    /// Starts a deliverer, as each process has one.
    pub fn deliver(&self) {
        self.tasks.spawn(Deliverer::new(self.webhooks.clone(), self.store.clone()).run(self.stop.clone()));
    }

    /// Access to the webhooks as from a process with other settings.
    pub fn elsewhere(&self, settings: Settings) -> Webhooks {
        open(&self.database, &self.bus, settings, Arc::new(SystemClock))
    }

    /// Access to the webhooks as from a process with another clock.
    pub fn with_clock(&self, clock: Arc<dyn Clock>) -> Webhooks {
        open(&self.database, &self.bus, quick(), clock)
    }

    /// Stops everything.
    pub async fn halt(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// The same as from a process that starts now.
    pub fn again(mut self) -> Self {
        self.stop = CancellationToken::new();
        self.tasks = TaskTracker::new();
        self.tasks.spawn(Relay::new(self.store.clone(), self.bus.clone()).run(self.stop.clone()));
        self.deliver();
        self
    }

    pub fn request(&self) -> Request {
        request(self.tenant, Role::Admin)
    }

    pub async fn act(&self, act: EndpointCommand) -> Changed {
        self.webhooks.carry_out(&self.request(), act).await.unwrap().changed
    }

    /// Creates an endpoint that gets all events from the first on.
    pub async fn endpoint(&self, url: &str) -> Changed {
        self.act(EndpointCommand::Create { fields: fields(url), after: Some(Position::START) }).await
    }

    pub async fn find(&self, id: Uuid) -> Endpoint {
        self.webhooks.find(self.tenant, id).await.unwrap().unwrap()
    }

    /// Appends events of this tenant and returns the last position.
    pub async fn append(&self, count: usize) -> u64 {
        self.append_as(self.tenant, "demo.lamp.lit", count).await
    }

    pub async fn append_as(&self, tenant: TenantId, event_type: &'static str, count: usize) -> u64 {
        let mut last = Position::START;
        for n in 0..count {
            let event = NewEvent {
                event_id: SystemIds.next(),
                event_type,
                event_version: 1,
                payload: format!(r#"{{"event":"{event_type}","n":{n}}}"#),
                metadata: r#"{"actor":"ada"}"#.into(),
                occurred_at: SystemClock.now(),
            };
            let stream = StreamAppend {
                aggregate_type: "demo.lamp",
                aggregate_id: SystemIds.next().to_string(),
                expected: 0,
                events: vec![event],
            };
            let command =
                CommandRecord { id: SystemIds.next().to_string(), request_hash: [0; 32], answer: "{}".to_owned() };
            let append = Append { tenant, command, streams: vec![stream], claims: Vec::new() };
            last = self.store.append(append).await.unwrap().last;
        }
        last.0
    }

    pub async fn count(&self, table: &str) -> i64 {
        let count = format!("SELECT count(*) FROM webhooks.{table}");
        sqlx::query_scalar(&count).fetch_one(&mut self.superuser().await).await.unwrap()
    }

    /// As a move of the tenant does before its cutover: nobody writes for it here.
    pub async fn begin_move(&self) {
        let pause = "INSERT INTO log.closed (tenant_id, state, cell) VALUES ($1, 'paused', 'east')";
        sqlx::query(pause).bind(self.tenant.uuid()).execute(&mut self.superuser().await).await.unwrap();
    }

    /// As a move does that is given up.
    pub async fn cancel_move(&self) {
        sqlx::query("DELETE FROM log.closed").execute(&mut self.superuser().await).await.unwrap();
    }

    async fn superuser(&self) -> PgConnection {
        PgConnection::connect_with(&self.database.superuser()).await.unwrap()
    }
}

pub fn request(tenant: TenantId, role: Role) -> Request {
    let grants: Vec<Grant> = webhooks::GRANTS.iter().copied().chain([HISTORY]).collect();
    let caller = Caller::new(tenant, "ada", &[role], &grants);
    Request { caller, command_id: None, request_hash: [1; 32], if_match: None }
}

fn open(database: &testbed::Database, bus: &Bus, settings: Settings, clock: Arc<dyn Clock>) -> Webhooks {
    let lamp = |name| EventType {
        aggregate_type: "demo.lamp",
        name,
        version: 1,
        retired: false,
        schema: schemars::Schema::default(),
    };
    let types = [lamp("demo.lamp.lit"), lamp("demo.lamp.dimmed")];
    let sources = Sources { clock, ids: Arc::new(SystemIds), random: Arc::new(SystemRandomSource) };
    Webhooks::open(database, bus.clone(), types.into(), settings, sources).unwrap()
}
