//! Opening a service's log for writing, and its write side (log and executor) for an operator's command.

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

/// Opens the log of a service to execute commands. The caller closes the store. It need not be reachable yet.
///
/// # Errors
/// When the log can't be opened, or its keys are not those of this configuration.
pub async fn open_log(config: &Config, service: Service, clock: Arc<dyn Clock>) -> Result<EventStore, WriteSideError> {
    let failed = |error| WriteSideError::Log { service, error };
    let store = EventStore::open(&config.database(service), config.log_settings(), clock).await.map_err(failed)?;
    if let Err(error) = store.check_keys().await {
        store.close().await;
        return Err(failed(error));
    }
    Ok(store)
}

/// Opens the log of a service that encrypts personal data, to execute a few commands. The caller closes the store.
///
/// # Errors
/// Without the master key or the claim key; when the log can't be opened.
pub async fn write_side(config: &Config, service: Service) -> Result<(EventStore, Executor), WriteSideError> {
    if config.master_key().is_none() {
        return Err(WriteSideError::MasterKey);
    }
    let claim_key = claim_key(config).ok_or(WriteSideError::ClaimKey)?;
    let store = open_log(config, service, Arc::new(SystemClock)).await?;
    let settings = Settings { cache_bytes: CACHE, snapshot_events: 0, claim_key };
    let executor = Executor::new(store.clone(), Arc::new(SystemClock), Arc::new(SystemIds), settings);
    Ok((store, executor))
}
