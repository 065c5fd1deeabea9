//! The errors of a start.

use std::net::SocketAddr;

use directory::WriteSideError;
use kernel::Service;

use crate::adapters::AdapterError;
use crate::auth::KeyError;

/// Why the server could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The chosen service does not exist.
    #[error("there is no service {0}")]
    UnknownService(Service),
    /// The configuration of a gateway lacks the instances of a service.
    #[error(
        "remotes.{0} (INOPSIO_REMOTE_{upper}) is not set; a gateway needs the URLs of the instances of each service, such as \
         http://127.0.0.1:8081,http://127.0.0.1:8082",
        upper = .0.name().to_uppercase()
    )]
    NoRemote(Service),
    /// The address can't be listened on.
    #[error("can't listen on {address}: {error}; choose another port with --port or INOPSIO_PORT")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The cause.
        error: std::io::Error,
    },
    /// The configuration of a gateway in front of cells lacks the cells, or its home cell.
    #[error(
        "no cells are configured, or the one of INOPSIO_CELL is not among them; a front before cells needs a section \
         [cells.<name>] with the urls of each in its configuration file"
    )]
    NoCells,
    /// The key that verifies tokens can't be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The list of trusted proxies is invalid.
    #[error(
        "http.trusted_proxies (INOPSIO_TRUSTED_PROXIES): {0:?} is not allowed; allowed are addresses and networks, such as 10.0.0.7 and fd00::/8"
    )]
    Proxies(String),
    /// A service's log can't be opened, or a key that it needs is missing.
    #[error(transparent)]
    WriteSide(#[from] WriteSideError),
    /// The master key is in Vault, and Vault refuses to use it. (If Vault does not answer, the server starts nevertheless.)
    #[error("the master key {key}: {error}")]
    Vault {
        /// The name of the key in Vault.
        key: String,
        /// The cause.
        error: vault::Error,
    },
    /// TLS for webhooks can't be set up.
    #[error("webhooks of the service {service}: {error}")]
    Webhooks {
        /// The service.
        service: Service,
        /// The cause.
        error: String,
    },
    /// The settings of mail or text messages are invalid.
    #[error(transparent)]
    Adapters(#[from] AdapterError),
    /// The settings of the bus are invalid. (If it does not answer, the server starts nevertheless.)
    #[error(transparent)]
    Bus(#[from] nats::Error),
}
