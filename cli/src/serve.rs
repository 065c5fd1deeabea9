//! `inopsio serve`: serves all services, one service, or only a gateway, with the configured servers.

use anyhow::Result;
use gateway::{Server, Services};

use crate::context::{self, Context};
use crate::dev::ports;
use crate::{settings, signals};

/// Serves all services, one service or only a gateway, until it receives a signal to stop
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  inopsio serve
  inopsio serve --service crm --host 0.0.0.0 --port 9000
  INOPSIO_REMOTE_CRM=http://10.0.0.7:9000,http://10.0.0.8:9000 inopsio serve --gateway

The addresses of Postgres and nats-server, and all other settings, come from inopsio.toml or INOPSIO_… variables (see .env.example).
Prepare the databases first: inopsio migrate")]
pub struct Serve {
    /// Only this service, such as crm; all unless given
    #[arg(long)]
    service: Option<String>,
    /// Run no service: forward requests to the instances that INOPSIO_REMOTE_… name, and answer GraphQL
    #[arg(long, conflicts_with = "service")]
    gateway: bool,
    /// Run no service: forward each tenant's requests to its cell, one of those in the configuration file
    #[arg(long, conflicts_with_all = ["service", "gateway"])]
    cells: bool,
    /// Address to listen on; that of http.host (INOPSIO_HOST) unless given
    #[arg(long)]
    host: Option<String>,
    /// Port to listen on, 0: any free one; that of http.port (INOPSIO_PORT) unless given
    #[arg(long, value_parser = ports::read("INOPSIO_PORT", 0))]
    port: Option<u16>,
}

impl Serve {
    /// The settings that the flags override.
    pub fn flags(&self) -> Vec<(&'static str, String)> {
        let host = self.host.iter().map(|host| ("http.host", host.clone()));
        let port = self.port.iter().map(|port| ("http.port", port.to_string()));
        host.chain(port).collect()
    }

    /// Serves until it receives a signal to stop.
    pub async fn run(self, context: Context) -> Result<()> {
        let services = match (self.gateway, self.cells) {
            (true, _) => Services::Gateway,
            (_, true) => Services::Cells,
            _ => services(self.service.as_deref())?,
        };
        let stop = signals::stop()?;
        let _telemetry = gateway::telemetry::init(&context.config)?;
        settings::warn_of_unknown();
        let server = Server::start(context.config, services).await?;
        tracing::info!(address = %server.addr(), "serving");
        stop.await;
        tracing::info!("stopping: running requests finish");
        server.shutdown().await;
        Ok(())
    }
}

/// The services that a `--service` option selects.
pub fn services(name: Option<&str>) -> Result<Services> {
    name.map_or(Ok(Services::All), |name| context::service(name).map(Services::One))
}
