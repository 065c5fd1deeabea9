//! The server: starts everything in order, and shuts it down in order.

mod assembly;
mod error;
mod services;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use auth_api::trust::Denials;
use config::Config;
use kernel::{Clock, IdSource, SystemClock, SystemIds};
use keys::MasterKey as _;
use nats::Bus;
use poem::Endpoint;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::assembly::{Assembly, Callers};
pub use self::error::StartError;
pub use self::services::Services;
use crate::adapters::Adapters;
use crate::auth::issuers::public_url;
use crate::front::{Front, RateLimiter};
use crate::service::Background;
use crate::wire::Wire;
use crate::{cells, domains, telemetry};

/// A running server.
pub struct Server {
    address: SocketAddr,
    serving: JoinHandle<()>,
    stop: CancellationToken,
    background: Background,
    /// The recorder of denials, which may still have some to write.
    denials: Option<Denials>,
    stores: Vec<eventstore::EventStore>,
    bus: Option<Bus>,
}

/// How often unused rate limit buckets are removed, and the metrics recorder does its upkeep.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(10);

impl Server {
    /// Opens the chosen services and serves them. The server accepts requests when this returns. The databases must have been migrated.
    pub async fn start(config: Config, services: Services) -> Result<Self, StartError> {
        if let Services::One(service) = services
            && !domains::SERVICES.contains(&service)
        {
            return Err(StartError::UnknownService(service));
        }
        // Metrics recorded before this call would be lost.
        telemetry::metrics();
        let address = SocketAddr::new(config.http.host, config.http.port);
        let listen = |error| StartError::Listen { address, error };
        // First of all, so that an occupied port is reported before anything else is started.
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;

        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let ids: Arc<dyn IdSource> = Arc::new(SystemIds);
        if services == Services::Cells {
            return Self::start_cell_front(&config, ids, listener, address).await;
        }
        let background = Background::default();
        check_master_keys(&config, &background).await?;
        let bus = Bus::connect(&config.bus_settings()).await?;
        let url = public_url(&config, address).trim_end_matches('/').into();
        let adapters = Adapters { url, ..Adapters::of(&config, &bus, &background.pools)? };
        let stop = CancellationToken::new();
        let assembly = Assembly {
            config: &config,
            address,
            bus: &bus,
            adapters: &adapters,
            // Those of all services, not only of those that run here: a caller's permissions are the same in every process.
            grants: domains::grants().into(),
            clock,
            ids: ids.clone(),
            background: &background,
            stop: &stop,
        };
        let opened = assembly.open(services).await?;
        let callers = assembly.callers(&opened.here).await?;
        let mut stores: Vec<_> = opened.running.iter().map(|running| running.runtime.store.clone()).collect();
        stores.extend(callers.stores.iter().cloned());
        let (run, forwarded) = opened.names();
        let rates = Arc::new(RateLimiter::new(&config.rate_limits));
        spawn_upkeep(rates.clone(), &background);
        let routes = assembly.routes(opened, &callers, &rates);
        let Callers { verifier, recorder, denials, .. } = callers;
        let front = Front::new(&config, verifier, rates, recorder, ids.clone(), routes);

        let serving = run_front(&config, listener, front, ids, &stop);
        tracing::info!(%address, services = run, forwarded, "serving");
        Ok(Self { address, serving, stop, background, denials: Some(denials), stores, bus: Some(bus) })
    }

    /// Starts the front of several cells, which forwards each request to its tenant's cell.
    async fn start_cell_front(
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

    /// The address that it listens on.
    pub const fn addr(&self) -> SocketAddr {
        self.address
    }

    /// Refuses new connections, lets running requests finish (at most `http.drain_seconds`), and stops everything.
    pub async fn shutdown(self) {
        self.stop.cancel();
        if let Err(error) = self.serving.await {
            tracing::error!(%error, "the HTTP server failed");
        }
        // Only now, because the last requests could still be denied or write events.
        if let Some(denials) = &self.denials {
            denials.finish().await;
        }
        // Before the logs close: otherwise the appends of running jobs would be refused, and would count as failed attempts.
        self.background.shutdown.cancel();
        self.background.tasks.close();
        self.background.tasks.wait().await;
        // Only now, because relay and projections were still reading.
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

/// Serves until `stop`, then lets running requests finish.
fn run_front(
    config: &Config,
    listener: TcpListener,
    front: impl Endpoint + 'static,
    ids: Arc<dyn IdSource>,
    stop: &CancellationToken,
) -> JoinHandle<()> {
    let drain = Duration::from_secs(config.http.drain_seconds);
    let wire = Wire { listener, idle_timeout: config.http.idle(), drain, ids };
    tokio::spawn(wire.serve(front, stop.clone()))
}

/// Checks that the master keys in Vault can be used, and spawns the renewal of our Vault tokens.
///
/// # Errors
/// When an operator has to fix something: a key does not exist, or the token lacks a permission. Transient errors are only logged:
/// meanwhile, requests that need a tenant's key get 503.
async fn check_master_keys(config: &Config, background: &Background) -> Result<(), StartError> {
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
            let client = transit.client().clone();
            kept.push(client.clone());
            background.spawn("token for Vault", move |shutdown| client.clone().keep(shutdown));
        }
    }
    Ok(())
}

/// Spawns a task that regularly removes unused rate limit buckets and runs the upkeep of the metrics recorder.
fn spawn_upkeep(rates: Arc<RateLimiter>, background: &Background) {
    background.spawn("upkeep of limits and metrics", move |shutdown| {
        let rates = Arc::clone(&rates);
        async move {
            let mut ticks = tokio::time::interval(UPKEEP_INTERVAL);
            while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
                rates.tidy();
                if let Some(metrics) = telemetry::metrics() {
                    metrics.run_upkeep();
                }
            }
        }
    });
}
