//! Why a server does not start.

use std::net::SocketAddr;

use directory::WriteSideError;
use kernel::Service;

use crate::adapters::AdapterError;
use crate::auth::KeyError;

/// Why the server could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is no such service.
    #[error("there is no service {0}")]
    UnknownService(Service),
    /// A gateway that was not told where a service is.
    #[error(
        "remotes.{0} (INOPSIO_REMOTE_{upper}) is not set; a gateway needs the URLs of the instances of each service, such as \
         http://127.0.0.1:8081,http://127.0.0.1:8082",
        upper = .0.name().to_uppercase()
    )]
    NoRemote(Service),
    /// The address can't be listened on.
    #[error("can't listen on {address}: {error}; choose another port with --port or INOPSIO_PORT")]
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
