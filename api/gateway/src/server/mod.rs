//! The running server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use auth_api::trust::Denials;
use config::Config;
use directory::WriteSideError;
use kernel::{Clock, Grant, IdSource, Service, SystemClock, SystemIds};
use keys::MasterKey as _;
use nats::Bus;
use poem::Endpoint;
use remote::Remote;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::adapters::{AdapterError, Adapters, SignOut};
use crate::auth::denials::Watch;
use crate::auth::{KeyError, Verifier, issuers, user_log};
use crate::domains::Part;
use crate::front::{Front, RateLimiter};
use crate::operations::{Readiness, consumers};
use crate::routes::{Served, dev_mail, forwarding};
use crate::service::{self, Background};
use crate::wire::Wire;
use crate::{cells, domains, routes, telemetry};

/// Which services a process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Services {
    /// All of them.
    All,
    /// This one.
    One(Service),
    /// None: all run elsewhere, and requests are forwarded.
    Gateway,
    /// None: each tenant's requests go to its cell.
    Cells,
}

impl Services {
    fn includes(self, service: Service) -> bool {
        match self {
            Self::All | Self::Gateway | Self::Cells => true,
            Self::One(one) => one == service,
        }
    }

    /// Where a service's instances are; `None`: it runs in this process. A process that was told to run one runs it.
    fn elsewhere(self, service: Service, config: &Config) -> Result<Option<Vec<http::Uri>>, StartError> {
        match (self, config.remote(service)) {
            (Self::One(_), _) => Ok(None),
            (Self::Gateway, None) => Err(StartError::NoRemote(service)),
            (_, remote) => Ok(remote),
        }
    }
}

/// Why the server could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is no such service.
    #[error("there is no service {0}")]
    UnknownService(Service),
    /// A gateway that was not told where a service is.
    #[error(
        "remotes.{0} (INOPSIO_REMOTE_{upper}) is not set; a gateway needs the URLs of each service's instances, such as \
         http://127.0.0.1:8081,http://127.0.0.1:8082",
        upper = .0.name().to_uppercase()
    )]
    NoRemote(Service),
    /// The address can't be listened on.
    #[error("{address} can't be listened on: {error}; choose another port with --port or INOPSIO_PORT")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        error: std::io::Error,
    },
    /// A front before cells that was not told of any.
    #[error(
        "no cells are configured, or the one of INOPSIO_CELL is not among them; a front before cells needs a section \
         [cells.<name>] with the urls of each in its configuration file"
    )]
    NoCells,
    /// The key that verifies tokens.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A proxy that is believed has no address.
    #[error(
        "http.trusted_proxies (INOPSIO_TRUSTED_PROXIES): {0:?} is not allowed; allowed are addresses and networks, such as 10.0.0.7 and fd00::/8"
    )]
    Proxies(String),
    /// A service's log can't be opened, or a key is missing that it needs.
    #[error(transparent)]
    WriteSide(#[from] WriteSideError),
    /// The master key is in Vault, and can't be used there. (That Vault does not answer is no reason not to start.)
    #[error("the master key {key}: {error}")]
    Vault {
        /// Where it is.
        key: String,
        /// What is wrong.
        error: vault::Error,
    },
    /// TLS for webhooks can't be set up.
    #[error("webhooks of the service {service}: {error}")]
    Webhooks {
        /// Whose.
        service: Service,
        /// What is wrong.
        error: String,
    },
    /// Mail, or text messages, are not configured well.
    #[error(transparent)]
    Adapters(#[from] AdapterError),
    /// The bus is not configured well. (That it does not answer is no reason not to start.)
    #[error(transparent)]
    Bus(#[from] nats::Error),
}

/// A server that serves.
pub struct Server {
    address: SocketAddr,
    serving: JoinHandle<()>,
    stop: CancellationToken,
    background: Background,
    /// What callers were denied, and is not on record yet.
    denials: Option<Denials>,
    stores: Vec<eventstore::EventStore>,
    bus: Option<Bus>,
}

/// How often what has not been used for long is forgotten, and metrics are tidied.
const TIDY: Duration = Duration::from_secs(10);

impl Server {
    /// Opens the chosen services and serves them. Ready when this returns; migrated databases are presupposed.
    pub async fn start(config: Config, services: Services) -> Result<Self, StartError> {
        if let Services::One(service) = services
            && !domains::SERVICES.contains(&service)
        {
            return Err(StartError::UnknownService(service));
        }
        // Recording begins before the first thing that is worth it.
        telemetry::metrics();
        let address = SocketAddr::new(config.http.host, config.http.port);
        let listen = |error| StartError::Listen { address, error };
        // First of all: a taken port shall be said before anything else is started.
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;

        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let ids: Arc<dyn IdSource> = Arc::new(SystemIds);
        if services == Services::Cells {
            return Self::before_cells(&config, ids, listener, address).await;
        }
        let background = Background::default();
        keep_master_keys(&config, &background).await?;
        let bus = Bus::connect(&config.bus_settings()).await?;
        let adapters = Adapters::of(&config, &bus)?;
        let parts: Vec<_> =
            domains::parts_with(&adapters).into_iter().filter(|part| services.includes(part.service)).collect();
        // Of all services, not only of those that run here: a token is the same everywhere.
        let grants: Arc<[Grant]> = domains::grants().into();
        let stop = CancellationToken::new();
        let mut running = Vec::new();
        let (mut here, mut elsewhere) = (Vec::new(), Vec::new());
        for part in parts {
            if let Some(urls) = services.elsewhere(part.service, &config)? {
                let remote =
                    Remote::open(part.service, &urls, config.http.body_limit, &background.tasks, &background.shutdown);
                let reading = service::reading(&part, &config, &bus, grants.clone());
                elsewhere.push((part, remote, reading));
                continue;
            }
            let sources = (clock.clone(), ids.clone());
            let opened = service::open(&part, &config, &bus, &adapters, sources, grants.clone(), &background).await?;
            here.push((part, opened.runtime.clone()));
            running.push(opened);
        }
        let issuing =
            issuers::open(&config, address, &here, &adapters, (clock.clone(), ids.clone()), &background).await?;
        if let Some(provider) = &issuing.provider {
            adapters.authority.bind(provider.authority.clone());
        }
        adapters.machines.bind(issuing.executor.clone());
        adapters.dossier.bind(issuing.dossier);
        if let Some(people) = issuers::read_models_of(&here, user_api::SERVICE) {
            adapters.access.bind(SignOut { executor: issuing.executor.clone(), people });
        }
        let sources = (clock.clone(), ids.clone());
        let suspended = adapters.suspended.clone();
        let noting = (issuing.touched.clone(), suspended.clone());
        let people = user_log::open(&config, &here, &grants, noting, sources, &background).await?;
        let bearers = people.bearers;
        adapters.bearers.bind(bearers.clone());
        let verifier =
            Verifier::new(&config.auth, issuing.trust, issuing.touched, bearers, clock.clone(), suspended.clone())?;
        let verifier = Arc::new(verifier);
        let mut stores: Vec<_> = running.iter().map(|running| running.runtime.store.clone()).collect();
        stores.extend(issuing.opened);
        stores.extend(people.store);
        let seats = events_api::feed::Seats::default();
        consumers::observe(running.clone(), seats.clone(), &background);
        let remotes = elsewhere.iter().map(|(_, remote, reading)| (remote.clone(), reading.clone())).collect();
        let readiness = Arc::new(Readiness::new(
            bus.clone(),
            running.clone(),
            remotes,
            seats.clone(),
            suspended,
            config.keys_in_vault(),
        ));
        let platform = events_api::Platform {
            services: here.iter().map(|(_, runtime)| runtime.clone()).collect(),
            webhooks: running.iter().map(|running| running.webhooks.clone()).collect(),
            types: domains::catalogue().into(),
            feeds: feeds(&config.events),
            seats,
            stop: stop.clone(),
        };
        let desks = running.iter().filter_map(|running| running.sagas.as_ref()).map(|(desk, _)| desk.clone()).collect();
        let jobs = running.iter().map(|running| running.runtime.jobs.clone()).collect();
        let dead_letters = running.iter().filter_map(|running| running.dead_letters.clone()).collect();
        let seen_from = issuers::seen_from(&config)?;
        let denials = issuing.denials;
        let watch = Watch::new(denials.clone(), seen_from.clone());
        let of_people = here.iter().map(|(_, runtime)| runtime).find(|runtime| runtime.service == user_api::SERVICE);
        let scim = match (of_people, elsewhere.iter().find(|(part, ..)| part.service == user_api::SERVICE)) {
            (Some(runtime), _) => user_api::scim::endpoints(runtime.clone(), &issuers::public_url(&config, address)),
            (None, Some((_, remote, _))) => forwarding::scim(remote, (&seen_from, &stop)),
            (None, None) => Vec::new(),
        };
        let platform = domains::platform_routes(&platform, desks, jobs, dead_letters);
        let rates = Arc::new(RateLimiter::new(&config.rate_limits));
        tidy(rates.clone(), &background);
        let names = |parts: Vec<&Part>| parts.iter().map(|part| part.service.name()).collect::<Vec<_>>().join(", ");
        let (run, forwarded) = (here.iter().map(|(part, _)| part), elsewhere.iter().map(|(part, ..)| part));
        let (run, forwarded) = (names(run.collect()), names(forwarded.collect()));
        let issuers = match (&issuing.provider, elsewhere.iter().find(|(part, ..)| part.service == auth_api::SERVICE)) {
            (Some(provider), _) => auth_api::provider::endpoints(provider),
            (None, Some((_, remote, _))) => forwarding::issuers(remote, (&seen_from, &stop)),
            (None, None) => Vec::new(),
        };
        let served = Served { here, elsewhere, platform };
        let routes = routes::routes(
            &config,
            served,
            readiness,
            (verifier.clone(), rates.clone(), watch.clone()),
            (&seen_from, stop.clone()),
        );
        let routes = match (adapters.caught, adapters.caught_texts) {
            (None, None) => routes,
            (mails, texts) => dev_mail::routes(routes, mails, texts),
        };
        let routes = routes::protocols(routes, issuers, scim);
        let front = Front::new(&config, verifier, rates, watch, ids.clone(), routes);

        let serving = run_front(&config, listener, front, ids, &stop);
        tracing::info!(%address, services = run, forwarded, "serving");
        Ok(Self { address, serving, stop, background, denials: Some(denials), stores, bus: Some(bus) })
    }

    /// Serves what each tenant's cell answers.
    async fn before_cells(
        config: &Config,
        ids: Arc<dyn IdSource>,
        listener: TcpListener,
        address: SocketAddr,
    ) -> Result<Self, StartError> {
        let (background, stop) = (Background::default(), CancellationToken::new());
        let front = cells::serve(config, ids.clone(), &background, stop.clone()).await?;
        let serving = run_front(config, listener, front, ids, &stop);
        let names = config.cells.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        tracing::info!(%address, cells = names, "serving");
        Ok(Self { address, serving, stop, background, denials: None, stores: Vec::new(), bus: None })
    }

    /// Where it listens.
    pub const fn addr(&self) -> SocketAddr {
        self.address
    }

    /// Refuses new connections, lets running requests finish (at most `http.drain_seconds`), and stops everything.
    pub async fn shutdown(self) {
        self.stop.cancel();
        if let Err(error) = self.serving.await {
            tracing::error!(%error, "the HTTP server failed");
        }
        // Only now: the last requests were still denied things, and were still writing.
        if let Some(denials) = &self.denials {
            denials.finish().await;
        }
        for store in &self.stores {
            store.finish().await;
        }
        self.background.shutdown.cancel();
        self.background.tasks.close();
        self.background.tasks.wait().await;
        // Only now: relay and projections were still reading.
        for store in &self.stores {
            store.close().await;
        }
        if let Some(bus) = self.bus
            && let Err(error) = bus.close().await
        {
            tracing::debug!(%error, "the bus could not be left in order");
        }
        tracing::info!("stopped");
    }
}

/// Serves until `stop`, and lets running requests finish.
fn run_front(
    config: &Config,
    listener: TcpListener,
    front: impl Endpoint + 'static,
    ids: Arc<dyn IdSource>,
    stop: &CancellationToken,
) -> JoinHandle<()> {
    let drain = Duration::from_secs(config.http.drain_seconds);
    let wire = Wire { listener, patience: config.http.idle(), drain, ids };
    tokio::spawn(wire.serve(front, stop.clone()))
}

/// Looks whether the master keys that are in Vault can be used, and keeps our token for it good.
///
/// # Errors
/// What somebody has to mend: a key that is not there, a token that may not. What passes by itself is only told: whose keys are needed
/// meanwhile hear that the master key can't be asked, and all goes on when it can.
async fn keep_master_keys(config: &Config, background: &Background) -> Result<(), StartError> {
    let mut kept: Vec<Arc<vault::Client>> = Vec::new();
    for transit in config.keys_in_vault() {
        let key = transit.name().to_owned();
        match transit.check().await {
            Ok(()) => {}
            Err(error) if error.passes() => {
                tracing::error!(key, %error, "the master key can't be asked: until it can, tenants whose keys are not opened yet get 503");
            }
            Err(error) => return Err(StartError::Vault { key, error }),
        }
        if !kept.iter().any(|client| Arc::ptr_eq(client, transit.client())) {
            kept.push(transit.client().clone());
            background.tasks.spawn(transit.client().clone().keep(background.shutdown.clone()));
        }
    }
    Ok(())
}

/// How feeds work.
const fn feeds(events: &config::Events) -> events_api::feed::Settings {
    events_api::feed::Settings {
        per_tenant: events.feeds_per_tenant,
        heartbeat: Duration::from_secs(events.heartbeat_seconds),
    }
}

fn tidy(rates: Arc<RateLimiter>, background: &Background) {
    let shutdown = background.shutdown.clone();
    background.tasks.spawn(async move {
        let mut ticks = tokio::time::interval(TIDY);
        while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
            rates.tidy();
            if let Some(metrics) = telemetry::metrics() {
                metrics.run_upkeep();
            }
        }
    });
}
