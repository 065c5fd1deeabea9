//! A log with a manual clock, and coordinators that are started and killed.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use coordinator::{
    Coordinator, CoordinatorStatus, Instances, Listed, Listing, NoProbe, Probe, Sagas, Settings, State, Status,
};
use deadletters::Backoff;
use eventstore::EventStore;
use eventstore::admin::Mode;
use executor::{Command, Executor, Request};
use kernel::{
    Aggregate, Caller, Clock, Grant, ManualClock, Position, RecordedEvent, Role, SystemClock, SystemIds, TenantId,
};
use nats::Bus;
use sqlx::{ConnectOptions, PgConnection};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Maximum time of any wait.
const LONG: Duration = Duration::from_mins(1);

/// A service's log with its sagas, without a coordinator.
pub struct Bed {
    /// The database.
    pub database: testbed::Database,
    /// The log.
    pub store: EventStore,
    /// The manual clock.
    pub clock: Arc<ManualClock>,
    /// Executes commands, for tests and sagas.
    pub executor: Executor,
    /// The service's sagas.
    pub sagas: Sagas,
    /// Queries of saga instances.
    pub instances: Instances,
    grants: &'static [Grant],
}

/// A running coordinator. On drop it ends as if it were killed.
pub struct Running {
    task: JoinHandle<()>,
    waker: Arc<Notify>,
    status: watch::Receiver<CoordinatorStatus>,
    shutdown: CancellationToken,
}

impl Running {
    /// Stops the coordinator and waits for its end.
    pub async fn stop(mut self) {
        self.shutdown.cancel();
        (&mut self.task).await.unwrap();
    }

    /// Kills the coordinator: aborts its task at its next await point.
    pub async fn kill(mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }

    /// The coordinator's status, now and later.
    pub fn status(&self) -> watch::Receiver<CoordinatorStatus> {
        self.status.clone()
    }

    /// Makes the coordinator look for due instances.
    pub fn wake(&self) {
        self.waker.notify_one();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Bed {
    /// A new log with these sagas. `grants` is the service's permission table.
    pub async fn new(sagas: Sagas, grants: &'static [Grant]) -> Self {
        let database = testbed::Database::fresh(sagas.service().name()).await;
        coordinator::migrate(&database.admin(), &database, Mode::Apply).await.unwrap();
        let clock = Arc::new(ManualClock::at(SystemClock.now()));
        let store = EventStore::open(&database, eventstore::Settings::default(), clock.clone()).await.unwrap();
        let executor = executor(&store, &clock);
        let instances = Instances::new(&database, sagas.clone(), sagas.repository(executor.clone()));
        Self { database, store, clock, executor, sagas, instances, grants }
    }

    /// Replaces the definitions, as a newer program would.
    pub fn upgraded(&mut self, sagas: Sagas) {
        self.instances = Instances::new(&self.database, sagas.clone(), sagas.repository(self.executor.clone()));
        self.sagas = sagas;
    }

    /// Starts a coordinator.
    pub fn start(&self) -> Running {
        self.start_with(Arc::new(NoProbe))
    }

    /// Starts a coordinator with a probe.
    pub fn start_with(&self, probe: Arc<dyn Probe>) -> Running {
        self.run(probe, None)
    }

    /// Starts a coordinator that reads events from NATS.
    pub fn start_with_bus(&self, bus: Bus) -> Running {
        self.run(Arc::new(NoProbe), Some(bus))
    }

    fn run(&self, probe: Arc<dyn Probe>, bus: Option<Bus>) -> Running {
        // With its own cache, as in a separate process.
        let executor = executor(&self.store, &self.clock).with_subjects(self.executor.subjects().clone());
        let backoff = Backoff { first: Duration::from_millis(20), longest: Duration::from_millis(200) };
        let settings = Settings { stand_by: Duration::from_millis(20), backoff, ..Settings::default() };
        let coordinator = Coordinator::new(
            &self.database,
            self.store.clone(),
            bus,
            self.sagas.clone(),
            self.sagas.repository(executor),
            self.clock.clone(),
            settings,
        )
        .with_probe(probe);
        let (waker, status, shutdown) = (coordinator.waker(), coordinator.status(), CancellationToken::new());
        Running { task: tokio::spawn(coordinator.run(shutdown.clone())), waker, status, shutdown }
    }

    /// The dead letters of the sagas.
    pub fn dead_letters(&self) -> deadletters::DeadLetters {
        let dry_run = coordinator::SagaDryRun::new(self.sagas.clone(), self.sagas.repository(self.executor.clone()));
        let dry_run: Arc<dyn deadletters::DryRun> = Arc::new(dry_run);
        let store = self.store.clone();
        deadletters::DeadLetters::open(&self.database, store, None, Vec::new(), vec![dry_run], self.grants).unwrap()
    }

    /// A case with a new tenant.
    pub fn case<'a>(&'a self, saga: &'static str) -> Case<'a> {
        self.case_of(saga, testbed::tenant())
    }

    /// A case with an existing tenant.
    pub fn case_of<'a>(&'a self, saga: &'static str, tenant: TenantId) -> Case<'a> {
        Case { bed: self, saga, caller: Caller::new(tenant, "ada", &[Role::Admin], self.grants) }
    }

    /// Resets the checkpoint, so that all events are delivered again.
    pub async fn redeliver(&self) {
        self.execute("UPDATE saga.checkpoint SET position = 0").await;
    }

    /// Deletes all rows of instances, and delivers all events again.
    pub async fn forget(&self) {
        self.execute("DELETE FROM saga.instances").await;
        self.redeliver().await;
    }

    async fn execute(&self, sql: &str) {
        sqlx::query(sql).execute(&mut self.superuser().await).await.unwrap();
    }

    /// A superuser's connection.
    pub async fn superuser(&self) -> PgConnection {
        self.database.superuser().connect().await.unwrap()
    }

    /// Waits until the coordinators have read the whole log.
    pub async fn followed(&self) {
        let head = self.store.head().await.unwrap();
        let mut connection = self.superuser().await;
        let deadline = tokio::time::Instant::now() + LONG;
        loop {
            let at: i64 =
                sqlx::query_scalar("SELECT position FROM saga.checkpoint").fetch_one(&mut connection).await.unwrap();
            if at >= head.as_i64() {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "the checkpoint stays at {at}, the log is at {head}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until the coordinators have read the whole log, and no instance of any saga has anything to do before the clock moves.
    pub async fn rested(&self) {
        let mut connection = self.superuser().await;
        let deadline = tokio::time::Instant::now() + LONG;
        loop {
            self.followed().await;
            let head = self.store.head().await.unwrap();
            let due =
                sqlx::query_scalar("SELECT count(*) FROM saga.instances WHERE wake_at <= $1").bind(self.clock.now());
            let due: i64 = due.fetch_one(&mut connection).await.unwrap();
            if due == 0 && self.store.head().await.unwrap() == head {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "{due} instances are not done");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn executor(store: &EventStore, clock: &Arc<ManualClock>) -> Executor {
    let settings = executor::Settings { cache_bytes: 1 << 20, snapshot_events: 0, claim_key: [7; 32] };
    Executor::new(store.clone(), clock.clone(), Arc::new(SystemIds), settings)
}

/// A tenant with an instance of the saga under test.
pub struct Case<'a> {
    /// The log and its sagas.
    pub bed: &'a Bed,
    saga: &'static str,
    /// The tenant's administrator.
    pub caller: Caller,
}

impl Case<'_> {
    /// The tenant's id.
    pub fn tenant(&self) -> TenantId {
        self.caller.tenant()
    }

    /// A request of the tenant's administrator.
    pub fn request(&self) -> Request {
        self.bed.executor.internal_request(&self.caller, None)
    }

    /// Executes a command.
    pub async fn execute<C: Command>(&self, command: &C) -> C::Answer {
        self.bed.executor.execute(&self.request(), command).await.unwrap().answer
    }

    /// An aggregate's state.
    pub async fn load<A: Aggregate>(&self, id: impl std::fmt::Display) -> A {
        (*self.bed.executor.load::<A>(&self.caller, &id.to_string()).await.unwrap().unwrap().0).clone()
    }

    /// All events of the tenant.
    pub async fn events(&self) -> Vec<RecordedEvent> {
        let head = self.bed.store.head().await.unwrap();
        self.bed.store.tenant_after(self.tenant(), Position::START, head, 100_000).await.unwrap().events
    }

    /// Number of events of a type.
    pub async fn count(&self, event_type: &str) -> usize {
        self.events().await.iter().filter(|event| event.event_type == event_type).count()
    }

    /// The instances of the saga, as in the list.
    pub async fn listed(&self) -> Vec<Listed> {
        let listing = Listing { saga: Some(self.saga.to_owned()), limit: 100, ..Listing::default() };
        self.bed.instances.list(&self.caller, &listing).await.unwrap()
    }

    /// The only instance of the saga, with its state from the log.
    pub async fn instance(&self) -> (Listed, State) {
        let [listed] = &self.listed().await[..] else { panic!("not one instance of {}", self.saga) };
        (listed.clone(), self.bed.instances.find(&self.caller, listed.id).await.unwrap())
    }

    /// Waits until the only instance is as wanted, without moving the clock.
    pub async fn until(&self, what: &str, wanted: impl Fn(&Listed) -> bool) -> State {
        let deadline = tokio::time::Instant::now() + LONG;
        loop {
            let listed = self.listed().await;
            if let [one] = &listed[..]
                && wanted(one)
            {
                return self.instance().await.1;
            }
            assert!(tokio::time::Instant::now() < deadline, "never {what}: {listed:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The time at which an active instance continues, if that is in the future.
    pub fn later(&self, listed: &Listed) -> Option<DateTime<Utc>> {
        listed.wake_at.filter(|at| listed.status.is_active() && *at > self.bed.clock.now())
    }

    /// Moves the clock from timer to timer until the instance has ended in any way.
    pub async fn end(&self, running: &Running) -> State {
        loop {
            let state = self.until("at rest", |one| !one.status.is_active() || self.later(one).is_some()).await;
            if !state.status.is_active() {
                return state;
            }
            self.pass(running).await;
        }
    }

    /// Moves the clock to the instance's timer, and wakes the coordinator.
    pub async fn pass(&self, running: &Running) {
        self.sleep().await;
        running.wake();
    }

    /// As [`pass`](Self::pass), but without a running coordinator.
    pub async fn sleep(&self) {
        let (listed, _) = self.instance().await;
        if let Some(at) = self.later(&listed) {
            self.bed.clock.advance(at - self.bed.clock.now());
        }
    }

    /// Checks the final status.
    pub fn assert_status(&self, state: &State, status: Status, context: &str) {
        assert_eq!(state.status, status, "{}, {context}: {state:#?}", self.saga);
    }
}
