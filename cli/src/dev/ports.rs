//! Ports of a development environment, and what to say when one is taken.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Result, bail};

/// Where the environment listens, always on 127.0.0.1.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Ports {
    /// Port of the API
    #[arg(long = "port", env = "INOPSIO_PORT", default_value_t = 8080)]
    pub http: u16,
    /// Port of the private Postgres
    #[arg(long = "postgres-port", env = "INOPSIO_DEV_POSTGRES_PORT", default_value_t = 15432)]
    pub postgres: u16,
    /// Port of the private nats-server
    #[arg(long = "nats-port", env = "INOPSIO_DEV_NATS_PORT", default_value_t = 14222)]
    pub nats: u16,
}

impl Ports {
    /// Refuses with the port's name, its number and how to choose another if one of them is taken.
    pub fn check(self) -> Result<()> {
        check("the API", self.http, "INOPSIO_PORT")?;
        self.check_servers()
    }

    /// As [`check`](Self::check), for the private servers only.
    pub fn check_servers(self) -> Result<()> {
        check("the private Postgres", self.postgres, "INOPSIO_DEV_POSTGRES_PORT")?;
        check("the private nats-server", self.nats, "INOPSIO_DEV_NATS_PORT")
    }
}

fn check(what: &str, port: u16, setting: &str) -> Result<()> {
    // Bound as a server binds it (with SO_REUSEADDR), so that a connection in TIME_WAIT is not taken for a listener.
    if port == 0 || TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
        return Ok(());
    }
    bail!(
        "port {port}, for {what}, is taken by another program: choose another with {setting}={}",
        port.saturating_add(1)
    )
}
