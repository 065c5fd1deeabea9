//! Tenants' issuers in this process: what signs, where the auth service runs; and what verifies, everywhere.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use auth_api::authority::{Authority, Parts, Settings};
use auth_api::provider::{Attempts, Provider};
use auth_api::trust::{Touched, Trust, follow};
use chrono::TimeDelta;
use eventstore::EventStore;
use face::Runtime;
use kernel::{Clock, IdSource};
use keys::SystemRandom;

use crate::Config;
use crate::directory::Directory;
use crate::domains::Part;
use crate::server::StartError;
use crate::service::{Background, Written};
use crate::tenants::DirectoryOfTenants;

/// How often attempts that are long past are forgotten.
const TIDY: Duration = Duration::from_mins(1);

/// What this process has of the tenants' issuers.
pub struct Issuing {
    /// Says whether a token holds.
    pub trust: Trust,
    /// What of that changed.
    pub touched: Arc<Touched>,
    /// The issuers themselves, where the auth service runs.
    pub provider: Option<Provider>,
    /// The log of the auth service, where it is open for this alone.
    pub store: Option<EventStore>,
}

/// Opens what verifies tokens, and what issues them where the auth service is among those `served`.
pub async fn open(
    config: &Config,
    address: SocketAddr,
    served: &[(Part, Runtime)],
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
    background: &Background,
) -> Result<Issuing, StartError> {
    let service = auth_api::SERVICE;
    let here = served.iter().map(|(_, runtime)| runtime).find(|runtime| runtime.service == service);
    let Written { store, executor, alone } = Written::open(config, service, served, clock.clone(), ids).await?;
    let master = config.master_key();
    if here.is_some() && master.is_none() {
        return Err(StartError::MasterKey);
    }
    let authority = Authority::new(Parts {
        executor,
        tenants: Arc::new(DirectoryOfTenants::new(Directory::open(config))),
        people: None,
        master,
        random: Arc::new(SystemRandom),
        clock: clock.clone(),
        settings: settings(config, address),
    });
    let touched = Arc::new(Touched::default());
    let shutdown = background.shutdown.clone();
    background.tasks.spawn(follow(store.clone(), authority.clone(), touched.clone(), clock, shutdown));
    let trust = Trust::new(authority.clone());
    let provider = here.map(|_| Provider { authority, trust: trust.clone(), attempts: Arc::new(Attempts::default()) });
    if let Some(provider) = &provider {
        tidy(provider.attempts.clone(), background);
    }
    let store = alone.then_some(store);
    Ok(Issuing { trust, touched, provider, store })
}

/// Where this is to be found, for those who are told.
pub fn public_url(config: &Config, address: SocketAddr) -> String {
    if config.http.public_url.is_empty() { format!("http://{address}") } else { config.http.public_url.clone() }
}

fn settings(config: &Config, address: SocketAddr) -> Settings {
    Settings {
        public_url: public_url(config, address),
        audience: config.auth.audience.clone(),
        leeway: TimeDelta::seconds(config.auth.leeway_seconds.cast_signed()),
        access: TimeDelta::seconds(config.auth.access_token_seconds.into()),
        overlap: TimeDelta::seconds(config.auth.key_overlap_seconds.into()),
    }
}

fn tidy(attempts: Arc<Attempts>, background: &Background) {
    let shutdown = background.shutdown.clone();
    background.tasks.spawn(async move {
        let mut ticks = tokio::time::interval(TIDY);
        while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
            attempts.tidy();
        }
    });
}
