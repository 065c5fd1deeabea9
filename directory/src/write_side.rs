//! Opening a service's log for writing, if its keys are ours, and its write side (log and executor) for an operator's command.

use std::sync::Arc;

use config::{Config, claim_key};
use eventstore::EventStore;
use executor::{Executor, Settings};
use kernel::{Clock, Service, SystemClock, SystemIds};

/// The size of the aggregate cache of an operator's command, in bytes.
const CACHE: u64 = 1 << 20;

/// The reason why a write side can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum WriteSideError {
    /// `postgres.claim_key` is missing.
    #[error("postgres.claim_key (INOPSIO_CLAIM_KEY) is not set; allowed are 64 hexadecimal digits, the same for ever")]
    ClaimKey,
    /// `auth.master_key` is missing.
    #[error(
        "auth.master_key (INOPSIO_MASTER_KEY) is not set; allowed are 64 hexadecimal digits, or where it is in Vault, as \
         transit:transit/inopsio"
    )]
    MasterKey,
    /// The log can't be opened.
    #[error("the service {service}: {error}")]
    Log {
        /// The service.
        service: Service,
        /// The error.
        error: eventstore::Error,
    },
}

/// Checks that the keys of this configuration are those of the logs of these services. Whoever is about to write several of them names all at
/// once, before the first is [opened](open_log): none keeps the mark of a key that another one refuses.
///
/// # Errors
/// When a log has other keys. One that does not answer now passes.
pub async fn check_keys(config: &Config, services: &[Service]) -> Result<(), WriteSideError> {
    let logs: Vec<_> = services.iter().map(|service| config.database(*service)).collect();
    let checked = eventstore::check_keys(&logs, &config.log_settings()).await;
    checked.map_err(|(service, error)| WriteSideError::Log { service, error })
}

/// As [`check_keys`], for those who need both keys. Returns the one that hashes claims.
///
/// # Errors
/// Without the master key or the claim key; as [`check_keys`].
pub async fn check_both_keys(config: &Config, services: &[Service]) -> Result<[u8; 32], WriteSideError> {
    if config.master_key().is_none() {
        return Err(WriteSideError::MasterKey);
    }
    let claim_key = claim_key(config).ok_or(WriteSideError::ClaimKey)?;
    check_keys(config, services).await?;
    Ok(claim_key)
}

/// Opens the log of a service to execute commands, after [its keys were checked](check_keys). The caller closes the store. It need not be
/// reachable yet.
///
/// # Errors
/// When the log can't be opened.
pub async fn open_log(config: &Config, service: Service, clock: Arc<dyn Clock>) -> Result<EventStore, WriteSideError> {
    let opened = EventStore::open(&config.database(service), config.log_settings(), clock).await;
    opened.map_err(|error| WriteSideError::Log { service, error })
}

/// Opens the log of a service that encrypts personal data, to execute a few commands. The caller closes the store.
///
/// # Errors
/// Without the master key or the claim key, or if the log has others; when the log can't be opened.
pub async fn write_side(config: &Config, service: Service) -> Result<(EventStore, Executor), WriteSideError> {
    let claim_key = check_both_keys(config, &[service]).await?;
    let store = open_log(config, service, Arc::new(SystemClock)).await?;
    let settings = Settings { cache_bytes: CACHE, snapshot_events: 0, claim_key };
    let executor = Executor::new(store.clone(), Arc::new(SystemClock), Arc::new(SystemIds), settings);
    Ok((store, executor))
}
