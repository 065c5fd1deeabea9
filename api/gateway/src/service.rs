//! One service of this process: its log, its relay, its projections, its executor.

use std::sync::Arc;

use config::{Config, claim_key};
use coordinator::{Coordinator, CoordinatorState, CoordinatorStatus, Desk};
use directory::WriteSideError;
use eventstore::EventStore;
use eventstore::relay::{self, Relay};
use eventstore::seals::{Sealer, SealerState};
use executor::Executor;
use face::{Live, Reading, Runtime, ServiceSecret, Writing};
use jobs::{Jobs, Runner};
use kernel::{Clock, Grant, IdSource, Position, Service};
use nats::Bus;
use projector::{Projector, ReadModels};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use webhooks::{Deliverer, SystemDice, Webhooks};

use crate::domains::{Part, dead_letters_of};
use crate::outside::Outside;
use crate::rebuilding;
use crate::server::StartError;

/// What runs beside the requests, and how it is told to stop.
#[derive(Clone, Default)]
pub struct Background {
    /// All of it.
    pub tasks: TaskTracker,
    /// Cancelled when it shall stop.
    pub shutdown: CancellationToken,
}

/// How a service's relay is doing.
#[derive(Clone)]
pub struct RelayState(watch::Receiver<relay::Status>);

impl RelayState {
    /// What is wrong with it, if anything is.
    pub fn trouble(&self) -> Option<String> {
        match &self.0.borrow().state {
            relay::State::Stuck { reason } | relay::State::Waiting { reason } => Some(reason.clone()),
            relay::State::Ended => Some("it has ended".to_owned()),
            relay::State::Starting | relay::State::Standby | relay::State::Active => None,
        }
    }

    /// How many events the stream is behind the log, as far as this relay knows.
    pub fn lag(&self) -> u64 {
        self.0.borrow().lag()
    }
}

/// How the sealing of a service's log is doing.
#[derive(Clone)]
pub struct SealingState(watch::Receiver<SealerState>);

impl SealingState {
    /// What is wrong with it, if anything is.
    pub fn trouble(&self) -> Option<String> {
        match &*self.0.borrow() {
            SealerState::Fine => None,
            SealerState::Waiting { reason } => Some(reason.clone()),
        }
    }
}

/// How a service's sagas are doing.
#[derive(Clone)]
pub struct SagasState(watch::Receiver<CoordinatorStatus>);

impl SagasState {
    /// What is wrong with them, if anything is.
    pub fn trouble(&self) -> Option<String> {
        let status = self.0.borrow();
        match &status.state {
            CoordinatorState::Waiting { reason } => Some(reason.clone()),
            CoordinatorState::Ended => Some("they have ended".to_owned()),
            _ if status.stuck > 0 || status.parked > 0 => Some(format!(
                "{} are stuck, {} are dead letters: see inopsio saga list and inopsio dlq list",
                status.stuck, status.parked
            )),
            _ => None,
        }
    }

    /// Up to where they have looked at the log; none: others do.
    fn position(&self) -> Option<Position> {
        let status = self.0.borrow();
        (status.state == CoordinatorState::Active).then_some(status.position)
    }
}

/// A service that runs.
#[derive(Clone)]
pub struct Running {
    /// What its operations work with.
    pub runtime: Runtime,
    /// How its relay is doing.
    pub relay: RelayState,
    /// How the sealing of its log is doing; none: nobody signs here.
    pub sealer: Option<SealingState>,
    /// Its webhooks.
    pub webhooks: Webhooks,
    /// Its sagas, and how they are doing.
    pub sagas: Option<(Desk, SagasState)>,
    /// Its dead letters.
    pub dead_letters: Option<deadletters::Desk>,
}

impl Running {
    /// How many events before `head` its sagas have not looked at, whichever process looks; none: it has no sagas.
    pub async fn sagas_lag(&self, head: Position) -> Result<Option<u64>, coordinator::Error> {
        let Some((desk, state)) = &self.sagas else { return Ok(None) };
        let stored = desk.position().await?;
        let position = state.position().map_or(stored, |here| here.max(stored));
        Ok(Some(head.0.saturating_sub(position.0)))
    }
}

/// A service's log, and what writes to it: of this process where the service runs, else opened for this alone.
pub struct Written {
    /// The log.
    pub store: EventStore,
    /// What carries commands out.
    pub executor: Executor,
    /// Whether it is open for this alone, and to be closed with it.
    pub alone: bool,
}

impl Written {
    /// That of one of the services `served` here, or one that runs elsewhere.
    pub async fn open(
        config: &Config,
        service: Service,
        served: &[(Part, Runtime)],
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdSource>,
    ) -> Result<Self, StartError> {
        if let Some((_, runtime)) = served.iter().find(|(_, runtime)| runtime.service == service) {
            return Ok(Self { store: runtime.store.clone(), executor: runtime.executor.clone(), alone: false });
        }
        let store = EventStore::open(&config.database(service), config.log_settings(), clock.clone())
            .await
            .map_err(|error| WriteSideError::Log { service, error })?;
        let executor = Executor::new(store.clone(), clock, ids, executor_settings(config)?);
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

/// What reading a service needs that runs elsewhere: connections of a role that may only read, and the bus.
pub fn reading(part: &Part, config: &Config, bus: &Bus, grants: Arc<[Grant]>) -> Reading {
    let read_models = ReadModels::new(&config.database(part.service), &part.projections, None);
    Reading {
        service: part.service,
        read_models,
        live: Live::new(bus.clone(), part.service),
        grants,
        stints: part.stints,
    }
}

/// Opens a service and starts its relay, its sealer, its projections, its jobs, its sagas and the delivery of its webhooks.
pub async fn open(
    part: &Part,
    config: &Config,
    bus: &Bus,
    outside: &Outside,
    (clock, ids): (Arc<dyn Clock>, Arc<dyn IdSource>),
    grants: Arc<[Grant]>,
    background: &Background,
) -> Result<Running, StartError> {
    let service = part.service;
    if part.is_sealed() && config.master_key().is_none() {
        return Err(WriteSideError::MasterKey.into());
    }
    let database = config.database(service);
    let settings = executor_settings(config)?;
    let secret = ServiceSecret::new(settings.claim_key);
    let store = EventStore::open(&database, config.log_settings(), clock.clone())
        .await
        .map_err(|error| WriteSideError::Log { service, error })?;

    let relay = Relay::new(store.clone(), bus.clone()).with_replicas(config.nats.replicas);
    let relay_state = RelayState(relay.status());
    background.tasks.spawn(relay.run(background.shutdown.clone()));

    let sealer = config.seal_key().map(|key| {
        let sealer = Sealer::new(&database, key, clock.clone());
        let state = SealingState(sealer.state());
        background.tasks.spawn(sealer.run(background.shutdown.clone()));
        state
    });

    let projector = Projector::new(
        &database,
        store.clone(),
        bus.clone(),
        service,
        part.projections.clone(),
        projector::Settings::default(),
    );
    let read_models = ReadModels::new(&database, &part.projections, Some(projector.progress()));
    background.tasks.spawn(projector.run(background.shutdown.clone()));

    let sources = webhooks::Sources { clock: clock.clone(), ids: ids.clone(), dice: Arc::new(SystemDice) };
    let types = (part.catalog)().into();
    let webhooks = Webhooks::open(&database, bus.clone(), types, config.webhooks.settings(), sources)
        .map_err(|error| StartError::Webhooks { service, error })?;
    let deliverer = Deliverer::new(webhooks.clone(), store.clone());
    background.tasks.spawn(deliverer.run(background.shutdown.clone()));

    let executor = Executor::new(store.clone(), clock.clone(), ids.clone(), settings);

    let sources = jobs::Sources { clock: clock.clone(), ids };
    let machines = outside.machines.clone();
    let writing = Writing { executor: executor.clone(), grants: grants.clone(), machines };
    let kinds = (part.jobs)(&read_models, Some(&writing));
    let kinds = match rebuilding::kind(config, part, &store) {
        Some(rebuild) => kinds.with(rebuild),
        None => kinds,
    };
    let jobs = Jobs::open(&database, Some(bus.clone()), kinds, jobs::Settings::default(), sources);
    background.tasks.spawn(Runner::new(jobs.clone()).run(background.shutdown.clone()));

    let sagas = part.sagas.clone().map(|sagas| {
        let book = sagas.book(executor.clone());
        let desk = Desk::new(&database, sagas.clone(), book.clone());
        let settings = coordinator::Settings::default();
        let bus = Some(bus.clone());
        let coordinator = Coordinator::new(&database, store.clone(), bus, sagas, book, clock, settings);
        let state = SagasState(coordinator.status());
        background.tasks.spawn(coordinator.run(background.shutdown.clone()));
        (desk, state)
    });
    let dead_letters = dead_letters_of(part, &database, store.clone(), executor.clone(), Some(bus.clone()));
    if let Some(desk) = dead_letters.clone() {
        background.tasks.spawn(desk.seal_former(database.clone(), background.shutdown.clone()));
    }
    let herald = deadletters::Herald::new(&database, bus.clone(), config.nats.replicas);
    background.tasks.spawn(herald.run(background.shutdown.clone()));
    let live = Live::new(bus.clone(), service);
    let runtime = Runtime {
        service,
        executor,
        read_models,
        store,
        bus: bus.clone(),
        live,
        jobs,
        grants,
        names: outside.names.clone(),
        texted: outside.texted.clone(),
        addressees: outside.letters.clone(),
        standings: Arc::new(outside.suspended.clone()),
        signing_in: outside.dossiers.clone(),
        powers: outside.ranks.clone(),
        signing_keys: outside.keysmith.clone(),
        secret,
        calls_private: config.webhooks.allow_private,
    };
    Ok(Running { runtime, relay: relay_state, sealer, webhooks, sagas, dead_letters })
}
