//! Which services a process runs, and where the others are.

use config::Config;
use kernel::Service;

use super::StartError;

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
    pub(super) fn includes(self, service: Service) -> bool {
        match self {
            Self::All | Self::Gateway | Self::Cells => true,
            Self::One(one) => one == service,
        }
    }

    /// Where a service's instances are; `None`: it runs in this process. A process that was told to run one runs it.
    pub(super) fn elsewhere(self, service: Service, config: &Config) -> Result<Option<Vec<http::Uri>>, StartError> {
        match (self, config.remote(service)) {
            (Self::One(_), _) => Ok(None),
            (Self::Gateway, None) => Err(StartError::NoRemote(service)),
            (_, remote) => Ok(remote),
        }
    }
}
