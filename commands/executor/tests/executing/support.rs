//! The test environment: a log of its own, a clock that the test sets, callers.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use eventstore::EventStore;
use executor::{Command, Done, Executor, Request, Settings};
use kernel::{Caller, Grant, IdSource, ManualClock, Position, RecordedEvent, Refusal, Role, SystemIds, TenantId};
use uuid::Uuid;

use super::lamp::Buy;

const GRANTS: &[Grant] = &[
    Grant { permission: "demo:lamp:write", roles: &[Role::Admin, Role::Member], meaning: "Handle lamps" },
    Grant { permission: "demo:history:backdate", roles: &[Role::Admin], meaning: "Say when it happened" },
];

/// Number of events after which a lamp gets a snapshot.
pub const SNAPSHOTS: u64 = 100;

pub struct World {
    pub store: EventStore,
    pub executor: Executor,
    pub clock: Arc<ManualClock>,
    pub tenant: TenantId,
    _database: Option<testbed::Database>,
}

pub fn start() -> DateTime<Utc> {
    "2026-06-01T08:00:00Z".parse().unwrap()
}

impl World {
    pub async fn new() -> Self {
        let database = testbed::Database::fresh("crm").await;
        let world = Self::over(&database, eventstore::Settings::default()).await;
        Self { _database: Some(database), ..world }
    }

    pub async fn over(database: &eventstore::Database, settings: eventstore::Settings) -> Self {
        let clock = Arc::new(ManualClock::at(start()));
        let store = EventStore::open(database, settings, clock.clone()).await.unwrap();
        let executor = executor(&store, &clock);
        Self { store, executor, clock, tenant: testbed::tenant(), _database: None }
    }

    /// An executor like that of another process: the same log, a separate cache.
    pub fn elsewhere(&self) -> Executor {
        executor(&self.store, &self.clock)
    }

    pub fn caller(&self, role: Role) -> Caller {
        caller(self.tenant, role)
    }

    pub fn request(&self) -> Request {
        request(self.caller(Role::Admin))
    }

    pub async fn head(&self) -> Position {
        self.store.head().await.unwrap()
    }

    pub async fn lamp(&self, label: &str) -> Uuid {
        self.done(&self.request(), &Buy { label: label.to_owned() }).await.answer
    }

    pub async fn done<C: Command>(&self, request: &Request, command: &C) -> Done<C::Answer> {
        self.executor.execute(request, command).await.unwrap()
    }

    /// Expects a command to be refused, and checks that nothing was written.
    pub async fn refused<C: Command>(&self, request: &Request, command: &C) -> Refusal {
        let before = self.head().await;
        let Err(refusal) = self.executor.execute(request, command).await else { panic!("carried out") };
        assert_eq!(self.head().await, before, "a refusal writes nothing");
        refusal
    }

    pub async fn events(&self, lamp: Uuid) -> Vec<RecordedEvent> {
        self.store.load(self.tenant, "demo.lamp", &lamp.to_string(), 0).await.unwrap()
    }
}

pub fn caller(tenant: TenantId, role: Role) -> Caller {
    Caller::new(tenant, "ada", &[role], GRANTS)
}

fn executor(store: &EventStore, clock: &Arc<ManualClock>) -> Executor {
    let settings = Settings { cache_bytes: 1 << 20, snapshot_events: SNAPSHOTS, claim_key: [7; 32] };
    Executor::new(store.clone(), clock.clone(), Arc::new(SystemIds), settings)
}

pub fn request(caller: Caller) -> Request {
    Request {
        caller,
        command_id: None,
        request_hash: [1; 32],
        if_match: None,
        occurred_at: None,
        correlation_id: SystemIds.next(),
        causation_id: SystemIds.next(),
        traceparent: None,
    }
}

pub fn keyed(request: &Request, key: &str) -> Request {
    Request { command_id: Some(key.to_owned()), ..request.clone() }
}
