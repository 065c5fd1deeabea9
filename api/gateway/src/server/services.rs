//! Which services a process runs, and where the others run.

use config::Config;
use kernel::Service;

use super::StartError;

/// Which services a process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Services {
    /// All services, except those for which the configuration names remote instances.
    All,
    /// Only this service.
    One(Service),
    /// No service: all run in other processes, and requests are forwarded to them.
    Gateway,
    /// No service: the front of several cells, which forwards each request to its tenant's cell.
    Cells,
}

impl Services {
    pub(super) fn includes(self, service: Service) -> bool {
        match self {
            Self::All | Self::Gateway | Self::Cells => true,
            Self::One(one) => one == service,
        }
    }

    /// The URLs of a service's remote instances; `None`: the service runs in this process. A process that runs one service ignores
    /// configured remotes.
    pub(super) fn elsewhere(self, service: Service, config: &Config) -> Result<Option<Vec<http::Uri>>, StartError> {
        match (self, config.remote(service)) {
            (Self::One(_), _) => Ok(None),
            (Self::Gateway, None) => Err(StartError::NoRemote(service)),
            (_, remote) => Ok(remote),
        }
    }
}
