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
        self.check_one("the API", self.http, "INOPSIO_PORT")?;
        self.check_servers()
    }

    /// As [`check`](Self::check), for the private servers only.
    pub fn check_servers(self) -> Result<()> {
        self.check_one("the private Postgres", self.postgres, "INOPSIO_DEV_POSTGRES_PORT")?;
        self.check_one("the private nats-server", self.nats, "INOPSIO_DEV_NATS_PORT")
    }

    fn check_one(self, what: &str, port: u16, setting: &str) -> Result<()> {
        if port == 0 || is_free(port) {
            return Ok(());
        }
        let ours = [self.http, self.postgres, self.nats];
        let free = (port..u16::MAX).skip(1).find(|port| !ours.contains(port) && is_free(*port)).unwrap_or_default();
        bail!("port {port}, for {what}, is taken by another program: choose another with {setting}={free}")
    }
}

/// Bound as a server binds it (with SO_REUSEADDR), so that a connection in TIME_WAIT is not taken for a listener.
fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_named_with_one_that_is_free() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let ports = Ports { http: port, postgres: port.saturating_add(1), nats: port.saturating_add(2) };
        let said = ports.check().unwrap_err().to_string();
        let (named, choice) = said.rsplit_once('=').unwrap();
        assert!(named.contains(&port.to_string()) && named.ends_with("INOPSIO_PORT"), "{said}");
        let choice: u16 = choice.parse().unwrap();
        assert!(![port, ports.postgres, ports.nats].contains(&choice), "{said}");
    }
}
