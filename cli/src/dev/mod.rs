//! `inopsio dev`: runs everything on one machine, in one terminal.
//!
//! [`environment`] locks the home (`.inopsio/`, [`home`], [`lock`]), stops servers of a killed run ([`process`]), creates the [`secrets`]
//! at the first start, and starts a private [`postgres`] and [`nats`]-server on their [`ports`]. [`config`] writes the configuration file
//! for all other commands. Then the databases are migrated, outdated read models are rebuilt, the tenant `demo` is created, the server
//! starts, and [`welcome`] prints what to try. Stopping happens in reverse order.

mod account;
pub mod config;
pub mod environment;
pub mod home;
pub mod lock;
mod nats;
pub mod ports;
pub mod postgres;
pub mod process;
mod secrets;
mod welcome;

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use directory::{Directory, DirectoryError, Tenant};
use eventstore::admin::Mode;
use gateway::{Config, ProvisionError, Server, Services};

use crate::{projection, serve, settings, signals};
use environment::Environment;
use home::Home;
use lock::Lock;
use ports::Ports;

/// The name of the tenant that is created at the first start.
const TENANT: &str = "demo";
/// How often it is tried to create it, and the pause in between.
const ATTEMPTS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(500);

/// Runs everything on this machine until Ctrl-C: a private Postgres and nats-server, migrations, all services
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  inopsio dev
  inopsio dev --service crm
  INOPSIO_PORT=9000 inopsio dev

Data and secrets are under .inopsio/ (--home); remove the folder to start afresh.")]
pub struct Dev {
    /// Only this service, such as crm; all unless given
    #[arg(long)]
    service: Option<String>,
    #[command(flatten)]
    ports: Ports,
}

impl Dev {
    /// Runs until a signal comes or one of the private servers ends.
    pub async fn run(self, home: &Path) -> Result<()> {
        let services = serve::services(self.service.as_deref())?;
        let stop = signals::stop()?;
        let mut stop = std::pin::pin!(stop);
        let home = Home::at(home)?;
        let lock = Lock::take(&home, self.ports)?;
        let config = config::write_and_read(&home, self.ports)?;
        let _telemetry = gateway::telemetry::init(&config)?;
        settings::warn_of_unknown();
        let mut environment = tokio::select! {
            environment = Environment::start(&home, self.ports, lock) => environment?,
            () = &mut stop => return Ok(()),
        };
        let outcome = serve_until(config, services, &mut environment, stop).await;
        environment.stop().await.and(outcome)
    }
}

async fn serve_until(
    config: Config,
    services: Services,
    environment: &mut Environment,
    mut stop: impl Future<Output = ()> + Unpin,
) -> Result<()> {
    let server = tokio::select! {
        server = start(&config, services) => server?,
        reason = environment.broken() => bail!(reason),
        () = &mut stop => return Ok(()),
    };
    let outcome = tokio::select! {
        reason = environment.broken() => Err(anyhow!("{reason}\nEverything was stopped; the next start recovers")),
        () = &mut stop => Ok(()),
    };
    tracing::info!("stopping: running requests finish, then the private servers stop");
    server.shutdown().await;
    outcome
}

/// Prepares the databases, starts the server, and prints the welcome text.
async fn start(config: &Config, services: Services) -> Result<Server> {
    let migrated = gateway::migrate(config, Mode::Apply).await?;
    Box::pin(projection::renew(config, &migrated)).await?;
    let tenant = tenant(config).await?;
    let server = Server::start(config.clone(), services).await?;
    welcome::print(config, server.addr(), &tenant).await?;
    Ok(server)
}

/// The tenant `demo`, created at the first start. If that was interrupted, its saga goes on while another one finds the name taken, and is
/// given up.
async fn tenant(config: &Config) -> Result<Tenant> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        match gateway::provision(config, TENANT, "Demo", None).await {
            Err(ProvisionError::Directory(DirectoryError::Exists(_))) => {
                return Ok(Directory::open(config).find(TENANT).await?);
            }
            Err(ProvisionError::Abandoned { .. }) if attempts < ATTEMPTS => tokio::time::sleep(PAUSE).await,
            made => return Ok(made?),
        }
    }
}
