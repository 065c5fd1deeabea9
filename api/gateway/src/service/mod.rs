//! Opens one service in this process: its log and executor, and its background tasks (relay, sealer, projections, webhooks, jobs, sagas,
//! dead letters).

mod preparation;
mod rebuilding;
mod state;

use std::sync::Arc;

use config::{Config, claim_key};
use coordinator::{Coordinator, Instances};
use directory::{WriteSideError, open_log};
use eventstore::relay::Relay;
use eventstore::seals::Sealer;
use eventstore::{Database, EventStore, PoolUse, supervised};
use executor::Executor;
use face::{LiveEvents, ReadSide, Runtime, ServiceSecret, WriteSide};
use jobs::{JobNames, Jobs, Kinds, Runner};
use kernel::{Clock, Grant, IdSource, Position, Service};
use nats::Bus;
use projector::{Projector, ReadModels};
use remote::Remote;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use webhooks::{Deliverer, SystemRandomSource, Webhooks};

pub use self::rebuilding::REBUILD_READ_MODEL;
pub use self::state::{RelayState, SagasState, SealingState};
use crate::adapters::{Adapters, WebhookNotices};
use crate::domains::{DomainDefinition, dead_letters_of};
use crate::operations::Pools;
use crate::server::StartError;

/// The background tasks of the process, and the pools that they and the requests use.
#[derive(Clone, Default)]
pub struct Background {
    /// Tracks all tasks.
    pub tasks: TaskTracker,
    /// Cancelled when the tasks must stop.
    pub shutdown: CancellationToken,
    /// The connection pools of the process.
    pub pools: Pools,
}

impl Background {
    /// Spawns a task that runs until the shutdown. It is started again if it panics.
    pub fn spawn<F>(&self, name: impl Into<String>, start: impl FnMut(CancellationToken) -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tasks.spawn(supervised(name.into(), self.shutdown.clone(), start));
    }

    /// A service (or cell) with instances at these URLs, whose health is checked until the shutdown. Bodies of at most `kept_bytes` bytes
    /// are buffered for retries.
    pub fn remote(&self, service: Service, urls: &[http::Uri], kept_bytes: usize) -> Arc<Remote> {
        let remote = Remote::open(service, urls, kept_bytes);
        for instance in remote.instances() {
            let (watching, watched) = (remote.clone(), instance.clone());
            self.spawn(format!("health of {}/{service}", instance.authority), move |shutdown| {
                watching.clone().watch(watched.clone(), shutdown)
            });
        }
        remote
    }
}

/// A running service.
#[derive(Clone)]
pub struct Running {
    /// What its operations run on.
    pub runtime: Runtime,
    /// The state of its relay.
    pub relay: RelayState,
    /// The state of its sealer; none: this process has no seal key.
    pub sealer: Option<SealingState>,
    /// Its webhooks.
    pub webhooks: Webhooks,
    /// Its saga instances, and the state of their coordinator.
    pub sagas: Option<(Instances, SagasState)>,
    /// Its dead letters.
    pub dead_letters: Option<deadletters::DeadLetters>,
}

impl Running {
    /// The lag of its sagas: the number of events up to `head` that they have not processed, in whichever process they run. None: it has
    /// no sagas.
    pub async fn sagas_lag(&self, head: Position) -> Result<Option<u64>, coordinator::Error> {
        let Some((instances, state)) = &self.sagas else { return Ok(None) };
        let stored = instances.position().await?;
        let position = state.position().map_or(stored, |here| here.max(stored));
        Ok(Some(head.0.saturating_sub(position.0)))
    }
}

/// A service's log with an executor: shared with the service if that runs in this process, otherwise opened separately.
pub struct Written {
    /// The log.
    pub store: EventStore,
    /// Executes commands.
    pub executor: Executor,
    /// Whether the log was opened separately, so that it has to be closed by its user.
    pub alone: bool,
}

impl Written {
    /// Takes the log of a service among those `served` here, or opens that of a service that runs in another process.
    pub async fn open(
        config: &Config,
        service: Service,
        served: &[(DomainDefinition, Runtime)],
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdSource>,
        pools: &Pools,
    ) -> Result<Self, StartError> {
        if let Some((_, runtime)) = served.iter().find(|(_, runtime)| runtime.service == service) {
            return Ok(Self { store: runtime.store.clone(), executor: runtime.executor.clone(), alone: false });
        }
        let settings = executor_settings(config)?;
        let store = open_log(config, service, clock.clone()).await?;
        let known = store.clone();
        pools.note(service.name(), move || known.pools().to_vec());
        let executor = Executor::new(store.clone(), clock, ids, settings);
        Ok(Self { store, executor, alone: true })
    }
}

fn executor_settings(config: &Config) -> Result<executor::Settings, WriteSideError> {
    Ok(executor::Settings {
        cache_bytes: config.postgres.cache_mib << 20,
        snapshot_events: config.postgres.snapshot_events,
        claim_key: claim_key(config).ok_or(WriteSideError::ClaimKey)?,
    })
}

/// Read access to a service that runs in another process: connections with a read-only role, and the bus.
pub fn read_side(
    domain: &DomainDefinition,
    config: &Config,
    bus: &Bus,
    grants: Arc<[Grant]>,
    public_url: Arc<str>,
) -> ReadSide {
    let read_models = ReadModels::new(&config.database(domain.service), &domain.projections, None);
    let job_names = Arc::new(job_names(domain, &(domain.jobs)(&read_models, None)));
    ReadSide {
        service: domain.service,
        read_models,
        live: LiveEvents::new(bus.clone(), domain.service),
        job_names,
        grants,
        public_url,
        role_periods: domain.role_periods,
    }
}

/// The names of a service's kinds and queues of jobs, also of those that only its servers add.
pub fn job_names(domain: &DomainDefinition, kinds: &Kinds) -> JobNames {
    let names = JobNames::from(kinds);
    if rebuilding::permission(domain).is_some() { names.with(REBUILD_READ_MODEL, rebuilding::QUEUE) } else { names }
}

/// Opens a service, whose keys were checked, and starts its background tasks.
pub async fn open(
    domain: &DomainDefinition,
    config: &Config,
    bus: &Bus,
    adapters: &Adapters,
    (clock, ids): (Arc<dyn Clock>, Arc<dyn IdSource>),
    grants: Arc<[Grant]>,
    background: &Background,
) -> Result<Running, StartError> {
    let service = domain.service;
    let database = config.database(service);
    let settings = executor_settings(config)?;
    let secret = ServiceSecret::new(settings.claim_key);
    let store = open_log(config, service, clock.clone()).await?;
    let executor = Executor::new(store.clone(), clock.clone(), ids.clone(), settings);
    // The services of users and machines find these in their own logs. An executor that asked itself would also never be dropped.
    let executor = if domain.decides_access { executor } else { executor.with_subjects(adapters.subjects()) };
    let starting = Starting { domain, config, bus, background, database, store, executor, clock, ids };

    let known = starting.store.clone();
    starting.note(move || known.pools().to_vec());
    let watched = starting.database.clone();
    starting.spawn("preparation", move |shutdown| preparation::watch(watched.clone(), shutdown));
    let relay = starting.relay();
    let sealer = starting.sealer();
    let read_models = starting.projections();
    let webhooks = starting.webhooks(adapters)?;
    let (executor, machines) = (starting.executor.clone(), adapters.machines.clone());
    let write_side = WriteSide { executor, grants: grants.clone(), machines };
    let jobs = starting.jobs(adapters, (domain.jobs)(&read_models, Some(&write_side)));
    let sagas = starting.sagas();
    let dead_letters = starting.dead_letters();

    let Starting { store, executor, .. } = starting;
    let runtime = Runtime {
        service,
        executor,
        read_models,
        store,
        bus: bus.clone(),
        live: LiveEvents::new(bus.clone(), service),
        jobs,
        grants,
        names: adapters.names.clone(),
        texted: adapters.texted.clone(),
        addressees: adapters.authority.clone(),
        active_tenants: Arc::new(adapters.suspended.clone()),
        signing_in: adapters.sign_in_records.clone(),
        permissions: adapters.permission_resolver.clone(),
        machines: adapters.machines.clone(),
        signing_keys: adapters.authority.clone(),
        secret,
        calls_private: config.webhooks.allow_private,
        public_url: adapters.url.clone(),
    };
    Ok(Running { runtime, relay, sealer, webhooks, sagas, dead_letters })
}

/// A service whose log is open, and what its background tasks are started with.
struct Starting<'a> {
    domain: &'a DomainDefinition,
    config: &'a Config,
    bus: &'a Bus,
    background: &'a Background,
    database: Database,
    store: EventStore,
    executor: Executor,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
}

impl Starting<'_> {
    fn spawn<F>(&self, name: &str, start: impl FnMut(CancellationToken) -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.background.spawn(format!("{name}/{}", self.domain.service), start);
    }

    /// Notes pools of the service.
    fn note(&self, usage: impl Fn() -> Vec<PoolUse> + Send + Sync + 'static) {
        self.background.pools.note(self.domain.service.name(), usage);
    }

    fn relay(&self) -> RelayState {
        let relay = Relay::new(self.store.clone(), self.bus.clone()).with_replicas(self.config.nats.replicas);
        let state = RelayState(relay.status());
        self.spawn("relay", move |shutdown| relay.clone().run(shutdown));
        state
    }

    /// None: this process has no seal key.
    fn sealer(&self) -> Option<SealingState> {
        let sealer = Sealer::new(&self.database, self.config.seal_key()?, self.clock.clone());
        let state = SealingState(sealer.state());
        self.spawn("sealer", move |shutdown| sealer.clone().run(shutdown));
        Some(state)
    }

    fn projections(&self) -> ReadModels {
        let projections = &self.domain.projections;
        let projector = Projector::new(
            &self.database,
            self.store.clone(),
            self.bus.clone(),
            self.domain.service,
            projections.clone(),
            projector::Settings::default(),
        );
        let read_models = ReadModels::new(&self.database, projections, Some(projector.progress()));
        let known = read_models.clone();
        self.note(move || vec![known.pool()]);
        self.spawn("projections", move |shutdown| projector.clone().run(shutdown));
        read_models
    }

    fn webhooks(&self, adapters: &Adapters) -> Result<Webhooks, StartError> {
        let service = self.domain.service;
        let sources = webhooks::Sources {
            clock: self.clock.clone(),
            ids: self.ids.clone(),
            random: Arc::new(SystemRandomSource),
        };
        let types = (self.domain.event_types)().into();
        let settings = self.config.webhooks.settings();
        let webhooks = Webhooks::open(&self.database, self.bus.clone(), types, settings, sources)
            .map_err(|error| StartError::Webhooks { service, error })?;
        let known = webhooks.clone();
        self.note(move || known.pools().to_vec());
        let notices = WebhookNotices {
            mailer: adapters.mailer.clone(),
            permission_resolver: adapters.permission_resolver.clone(),
            url: adapters.url.clone(),
        };
        let deliverer = Deliverer::new(webhooks.clone(), self.store.clone())
            .telling(Arc::new(notices))
            .pausing(adapters.suspended.tenants());
        self.spawn("webhooks", move |shutdown| deliverer.clone().run(shutdown));
        Ok(webhooks)
    }

    /// Runs jobs of the service's own kinds, and the kind that rebuilds read models.
    fn jobs(&self, adapters: &Adapters, kinds: Kinds) -> Jobs {
        let sources = jobs::Sources { clock: self.clock.clone(), ids: self.ids.clone() };
        let kinds = match rebuilding::kind(self.config, self.domain, &self.store) {
            Some(rebuild) => kinds.with(rebuild),
            None => kinds,
        };
        let jobs = Jobs::open(&self.database, Some(self.bus.clone()), kinds, jobs::Settings::default(), sources);
        let known = jobs.clone();
        self.note(move || known.pools().to_vec());
        let runner = Runner::new(jobs.clone()).pausing(adapters.suspended.tenants());
        self.spawn("jobs", move |shutdown| runner.clone().run(shutdown));
        jobs
    }

    /// None: the service has no sagas.
    fn sagas(&self) -> Option<(Instances, SagasState)> {
        let sagas = self.domain.sagas.clone()?;
        let repository = sagas.repository(self.executor.clone());
        let instances = Instances::new(&self.database, sagas.clone(), repository.clone());
        let (store, bus, clock) = (self.store.clone(), Some(self.bus.clone()), self.clock.clone());
        let settings = coordinator::Settings::default();
        let coordinator = Coordinator::new(&self.database, store, bus, sagas, repository, clock, settings);
        let state = SagasState(coordinator.status());
        let known = (instances.clone(), coordinator.clone());
        self.note(move || vec![known.0.pool(), known.1.pool()]);
        self.spawn("sagas", move |shutdown| coordinator.clone().run(shutdown));
        Some((instances, state))
    }

    /// None: the service's permission table has no permissions for dead letters.
    fn dead_letters(&self) -> Option<deadletters::DeadLetters> {
        let (store, executor) = (self.store.clone(), self.executor.clone());
        let dead_letters = dead_letters_of(self.domain, &self.database, store, executor, Some(self.bus.clone()));
        if let Some(dead_letters) = dead_letters.clone() {
            let (database, known) = (self.database.clone(), dead_letters.clone());
            self.note(move || vec![known.pool()]);
            self.spawn("sealing of edits", move |shutdown| {
                dead_letters.clone().seal_former(database.clone(), shutdown)
            });
        }
        let publisher = deadletters::Publisher::new(&self.database, self.bus.clone(), self.config.nats.replicas);
        let known = publisher.clone();
        self.note(move || vec![known.pool()]);
        self.spawn("dead letters", move |shutdown| publisher.clone().run(shutdown));
        dead_letters
    }
}
