//! The running server.

use std::net::SocketAddr;

use kernel::Service;

use crate::Config;

/// Which services a process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Services {
    /// All of them.
    All,
    /// This one.
    One(Service),
}

/// Why the server could not start.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StartError(pub String);

/// A server that serves.
pub struct Server {
    address: SocketAddr,
}

impl Server {
    /// Opens the chosen services and serves them. Ready when this returns; migrated databases are presupposed.
    #[expect(clippy::todo, unused_variables, reason = "being written")]
    pub async fn start(config: Config, services: Services) -> Result<Self, StartError> {
        todo!()
    }

    /// Where it listens.
    pub const fn addr(&self) -> SocketAddr {
        self.address
    }

    /// Refuses new requests, lets running ones finish (at most `http.drain_seconds`), and stops everything.
    pub async fn shutdown(self) {}
}
