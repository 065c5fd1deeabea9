//! A log, a bus and projectors on private servers of a test.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use deadletters::{Backoff, DeadLetters};
use eventstore::{Append, CommandRecord, EventStore, NewEvent, StreamAppend};
use kernel::{Caller, Grant, IdSource, Position, RecordedEvent, Role, Service, SystemClock, SystemIds, TenantId};
use nats::{Bus, Credentials, StreamSettings};
use projector::{Progress, Projection, Projector, ReadModels, Settings};
use sqlx::{ConnectOptions, Executor, PgConnection, Row};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::lamps::Lamps;

const GRANTS: &[Grant] = &[
    Grant { permission: "demo:dead_letter:read", roles: &[Role::Admin, Role::Auditor], meaning: "" },
    Grant { permission: "demo:dead_letter:write", roles: &[Role::Admin, Role::Manager], meaning: "" },
];

/// A request of a user of a tenant.
pub(crate) fn request(tenant: TenantId, role: Role, key: Option<&str>) -> deadletters::Request {
    deadletters::Request {
        caller: Caller::new(tenant, "ada", &[role], GRANTS),
        command_id: key.map(str::to_owned),
        request_hash: [key.map_or(0, |key| key.len() as u8); 32],
    }
}

pub(crate) const DEMO: Service = Service::new("demo");
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// The rows of both tables: (tenant, lamp) → (switches, lit); (tenant, position) → lamp.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Rows {
    pub(crate) lamps: BTreeMap<(Uuid, String), (i64, bool)>,
    pub(crate) switches: BTreeMap<(Uuid, i64), String>,
}

pub(crate) struct Road {
    pub(crate) database: testbed::Database,
    pub(crate) nats: testbed::Nats,
    pub(crate) store: EventStore,
    pub(crate) bus: Bus,
    /// Tenants of three different partitions, if there are four partitions.
    pub(crate) tenants: [TenantId; 3],
    projections: Vec<Arc<dyn Projection>>,
}

/// A running projector.
pub(crate) struct Running {
    pub(crate) models: ReadModels,
    pub(crate) progress: Progress,
    shutdown: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap();
    }

    /// Aborts the projector, as if its process were killed.
    pub(crate) async fn die(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }
}

impl Road {
    /// Starts the servers and creates the projection's tables, but starts no projector.
    pub(crate) async fn new(projection: impl Projection) -> Self {
        let database = testbed::Database::fresh("demo").await;
        let nats = testbed::Nats::start().await;
        let store = EventStore::open(&database, eventstore::Settings::default(), Arc::new(SystemClock)).await.unwrap();
        let mut settings = nats::Settings::new(nats.url(), Credentials::None, "test");
        settings.timeout = Duration::from_secs(2);
        let bus = Bus::connect(&settings).await.unwrap();
        bus.ensure_stream(DEMO, StreamSettings::default()).await.unwrap();
        let projections: Vec<Arc<dyn Projection>> = vec![Arc::new(projection)];
        let migrated = projector::migrate(&database.admin(), &database, &projections).await.unwrap();
        assert_eq!(migrated.created, [projections[0].name()]);
        let tenants = [0, 1, 2].map(|partition| {
            let found = std::iter::repeat_with(testbed::tenant);
            let mut found = found.filter(|tenant| eventstore::partition_of(tenant.uuid(), 4) == partition);
            found.next().unwrap()
        });
        Self { database, nats, store, bus, tenants, projections }
    }

    /// Starts an instance with a short retry backoff, which applies with `lamps`.
    pub(crate) fn start_eager(&self, lamps: &Lamps) -> Running {
        let backoff = Backoff { first: Duration::from_millis(20), longest: Duration::from_millis(100) };
        let settings = Settings { stand_by: Duration::from_millis(100), backoff, ..Settings::default() };
        self.start_with(vec![Arc::new(lamps.clone())], settings)
    }

    /// The operators' access to dead letters of the projection.
    pub(crate) fn dead_letters(&self) -> DeadLetters {
        self.dead_letters_over(self.projections.clone())
    }

    pub(crate) fn dead_letters_over(&self, projections: Vec<Arc<dyn Projection>>) -> DeadLetters {
        let dry_run: Arc<dyn deadletters::DryRun> =
            Arc::new(projector::ProjectionDryRun::new(&self.database, projections));
        let (store, bus) = (self.store.clone(), Some(self.bus.clone()));
        DeadLetters::open(&self.database, store, bus, Vec::new(), vec![dry_run], GRANTS).unwrap()
    }

    /// Starts an instance of the projector.
    pub(crate) fn start(&self) -> Running {
        self.start_with(
            self.projections.clone(),
            Settings { stand_by: Duration::from_millis(100), ..Settings::default() },
        )
    }

    pub(crate) fn start_with(&self, projections: Vec<Arc<dyn Projection>>, settings: Settings) -> Running {
        self.start_by_way_of(&self.database, projections, settings)
    }

    /// Starts an instance that writes the read models by another way to the database.
    pub(crate) fn start_by_way_of(
        &self,
        way: &eventstore::Database,
        projections: Vec<Arc<dyn Projection>>,
        settings: Settings,
    ) -> Running {
        let (store, bus) = (self.store.clone(), self.bus.clone());
        let projector = Projector::new(way, store, bus, DEMO, projections.clone(), settings);
        let progress = projector.progress();
        let models = ReadModels::new(&self.database, &projections, Some(progress.clone()));
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(projector.run(shutdown.clone()));
        Running { models, progress, shutdown, task }
    }

    /// Read models as in another process, without the progress of a projector.
    pub(crate) fn distant_models(&self) -> ReadModels {
        ReadModels::new(&self.database, &self.projections, None)
    }

    pub(crate) async fn superuser(&self) -> PgConnection {
        self.database.superuser().connect().await.unwrap()
    }

    /// Appends one event to the log only.
    pub(crate) async fn append(&self, tenant: usize, lamp: &str, event: &'static str, payload: &str) -> Position {
        self.append_one(tenant, lamp, event, payload, None).await
    }

    /// Appends one event of a request with this trace context.
    pub(crate) async fn append_traced(&self, lamp: &str, traceparent: Option<&str>) -> Position {
        self.append_one(0, lamp, "demo.lamp.lit", "{}", traceparent).await
    }

    async fn append_one(
        &self,
        tenant: usize,
        lamp: &str,
        event_type: &'static str,
        payload: &str,
        traceparent: Option<&str>,
    ) -> Position {
        let tenant = self.tenants[tenant];
        let expected = self.store.load(tenant, "demo.lamp", lamp, 0).await.unwrap().len() as u64;
        let occurred_at = kernel::Clock::now(&SystemClock);
        let metadata = kernel::EventMetadata {
            actor: "test".to_owned(),
            command_id: SystemIds.next().to_string(),
            correlation_id: SystemIds.next(),
            causation_id: SystemIds.next(),
            occurred_at,
            permissions: None,
            traceparent: traceparent.map(str::to_owned),
        };
        let events = vec![NewEvent {
            event_id: SystemIds.next(),
            event_type,
            event_version: 1,
            payload: payload.to_owned(),
            metadata: serde_json::to_string(&metadata).unwrap().into(),
            occurred_at,
        }];
        let streams =
            vec![StreamAppend { aggregate_type: "demo.lamp", aggregate_id: lamp.to_owned(), expected, events }];
        let command = CommandRecord { id: metadata.command_id, request_hash: [0; 32], answer: "{}".to_owned() };
        self.store.append(Append { tenant, command, streams, claims: Vec::new() }).await.unwrap().last
    }

    /// Appends a run of `count` events to one lamp, at once.
    pub(crate) async fn append_run(&self, tenant: usize, lamp: &str, count: usize) {
        let tenant = self.tenants[tenant];
        let expected = self.store.load(tenant, "demo.lamp", lamp, 0).await.unwrap().len() as u64;
        let event = |nth: usize| NewEvent {
            event_id: SystemIds.next(),
            event_type: if nth.is_multiple_of(3) { "demo.lamp.lit" } else { "demo.lamp.dimmed" },
            event_version: 1,
            payload: "{}".to_owned(),
            metadata: r#"{"actor":"test"}"#.into(),
            occurred_at: kernel::Clock::now(&SystemClock),
        };
        let events = (0..count).map(event).collect();
        let streams =
            vec![StreamAppend { aggregate_type: "demo.lamp", aggregate_id: lamp.to_owned(), expected, events }];
        let command =
            CommandRecord { id: SystemIds.next().to_string(), request_hash: [0; 32], answer: "{}".to_owned() };
        self.store.append(Append { tenant, command, streams, claims: Vec::new() }).await.unwrap();
    }

    /// Appends `count` events of all tenants and many lamps. The projection does not want some of them.
    pub(crate) async fn append_many(&self, count: usize) -> Position {
        const TYPES: [&str; 3] = ["demo.lamp.lit", "demo.lamp.dimmed", "demo.lamp.dusted"];
        let mut streams: BTreeMap<(usize, String), Vec<NewEvent>> = BTreeMap::new();
        for nth in 0..count {
            let lamp = format!("{} {}", SystemIds.next(), nth % 5);
            let lamp = if nth % 4 == 0 { lamp } else { format!("{} {}", Uuid::from_u128(count as u128), nth % 7) };
            streams.entry((nth % 3, lamp)).or_default().push(NewEvent {
                event_id: SystemIds.next(),
                event_type: TYPES[nth % 11 % 3],
                event_version: 1,
                payload: "{}".to_owned(),
                metadata: r#"{"actor":"test"}"#.into(),
                occurred_at: kernel::Clock::now(&SystemClock),
            });
        }
        let mut last = Position::START;
        for tenant in 0..self.tenants.len() {
            let mut ours = Vec::new();
            for ((_, lamp), events) in streams.iter().filter(|((of, _), _)| *of == tenant) {
                let loaded = self.store.load(self.tenants[tenant], "demo.lamp", lamp, 0).await.unwrap();
                let (aggregate_id, events) = (lamp.clone(), events.clone());
                let expected = loaded.len() as u64;
                ours.push(StreamAppend { aggregate_type: "demo.lamp", aggregate_id, expected, events });
            }
            let command =
                CommandRecord { id: SystemIds.next().to_string(), request_hash: [0; 32], answer: "{}".to_owned() };
            let append = Append { tenant: self.tenants[tenant], command, streams: ours, claims: Vec::new() };
            last = self.store.append(append).await.unwrap().last;
        }
        last
    }

    /// Appends `count` events, as [`append_many`](Self::append_many) does, and publishes them.
    pub(crate) async fn feed(&self, count: usize) -> Position {
        let last = self.append_many(count).await;
        self.relay().await;
        last
    }

    /// Publishes the events that the stream lacks, as the relay does.
    pub(crate) async fn relay(&self) {
        let state = self.bus.ensure_stream(DEMO, StreamSettings::default()).await.unwrap();
        let mut last = Position(state.last);
        loop {
            let events = self.store.read_after(last, 1_000).await.unwrap();
            if events.is_empty() {
                return;
            }
            last = self.bus.publish(DEMO, &events, last).await.unwrap();
        }
    }

    /// Waits until all events of the log are applied.
    pub(crate) async fn visible(&self, models: &ReadModels) {
        let head = self.store.head().await.unwrap();
        for tenant in self.tenants {
            models.wait_for(tenant, head, LONG).await.unwrap();
        }
    }

    /// Waits until all events of the log are applied, and checks that each was applied once.
    pub(crate) async fn applied_once(&self, models: &ReadModels) {
        self.visible(models).await;
        assert_eq!(self.rows().await, self.expected(&[]).await);
    }

    /// The expected rows when every event of the log, except the parked ones, was applied once.
    pub(crate) async fn expected(&self, parked: &[Position]) -> Rows {
        let mut rows = Rows::default();
        let mut log: Vec<RecordedEvent> = Vec::new();
        loop {
            let after = log.last().map_or(Position::START, |event| event.position);
            match self.store.read_after(after, 1_000_000).await.unwrap() {
                events if events.is_empty() => break,
                events => log.extend(events),
            }
        }
        for event in
            log.iter().filter(|event| event.event_type != "demo.lamp.dusted" && !parked.contains(&event.position))
        {
            let (tenant, lamp) = (event.tenant.uuid(), event.aggregate_id.clone());
            rows.switches.insert((tenant, event.position.as_i64()), lamp.clone());
            let row = rows.lamps.entry((tenant, lamp)).or_default();
            *row = (row.0 + 1, event.event_type == "demo.lamp.lit");
        }
        rows
    }

    /// The rows of the live tables.
    pub(crate) async fn rows(&self) -> Rows {
        let mut connection = self.superuser().await;
        let lamps =
            sqlx::query("SELECT tenant_id, lamp, switches, lit FROM demo.lamps").fetch_all(&mut connection).await;
        let switches =
            sqlx::query("SELECT tenant_id, position, lamp FROM demo.switches").fetch_all(&mut connection).await;
        Rows {
            lamps: lamps.unwrap().iter().map(|row| ((row.get(0), row.get(1)), (row.get(2), row.get(3)))).collect(),
            switches: switches.unwrap().iter().map(|row| ((row.get(0), row.get(1)), row.get(2))).collect(),
        }
    }

    /// Takes back all that was ever applied.
    pub(crate) async fn take_back(&self) {
        let back = "BEGIN; TRUNCATE demo.lamps, demo.switches; UPDATE projector.checkpoints SET position = 0; COMMIT";
        self.superuser().await.execute(back).await.unwrap();
    }

    /// Simulates a crash of Postgres with asynchronous commits: the worker's connection is closed, and what it wrote is lost.
    pub(crate) async fn crash(&self) {
        self.take_back().await;
        assert_eq!(self.cut().await, 1);
    }

    /// Terminates the connections that hold partitions, and returns their number.
    pub(crate) async fn cut(&self) -> usize {
        let cut = sqlx::query_scalar::<_, bool>(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database()
               AND pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND classid = 71647)",
        );
        cut.fetch_all(&mut self.superuser().await).await.unwrap().len()
    }
}
