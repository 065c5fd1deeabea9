//! A service's write side, for as long as an operator's command takes.

use std::sync::Arc;

use eventstore::EventStore;
use executor::{Executor, Settings};
use kernel::{Service, SystemClock, SystemIds};

use crate::config::{Config, claim_key};
use crate::server::StartError;

/// How much of the log an operator's command keeps in memory, in bytes.
const CACHE: u64 = 1 << 20;

/// Opens the log of a service that seals who people are, to carry out a few commands and close it again.
///
/// # Errors
/// Without the master key or the claim key; when the log can't be opened.
pub(crate) async fn write_side(config: &Config, service: Service) -> Result<(EventStore, Executor), Box<StartError>> {
    if config.master_key().is_none() {
        return Err(Box::new(StartError::MasterKey));
    }
    let claim_key = claim_key(config).ok_or_else(|| Box::new(StartError::ClaimKey))?;
    let opened = EventStore::open(&config.database(service), config.log_settings(), Arc::new(SystemClock)).await;
    let store = opened.map_err(|error| Box::new(StartError::Log { service, error }))?;
    let settings = Settings { cache_bytes: CACHE, snapshot_events: 0, claim_key };
    let executor = Executor::new(store.clone(), Arc::new(SystemClock), Arc::new(SystemIds), settings);
    Ok((store, executor))
}
