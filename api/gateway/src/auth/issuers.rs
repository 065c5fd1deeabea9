//! Opens the parts of the auth service that this process needs: the verification of tokens always, the tenants' issuers if the auth
//! service runs here.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use auth_api::authority::{Authority, Parts, Settings};
use auth_api::password::Passwords;
use auth_api::provider::{Attempts, ClientAddressHeader, Provider};
use auth_api::trust::{ChangedIds, Denials, Trust, follow};
use auth_api::{Breaches, SignInRecords};
use chrono::TimeDelta;
use config::{Config, claim_key};
use directory::WriteSideError;
use eventstore::EventStore;
use executor::Executor;
use face::{Admission, Domain, MailedLinks, OwnPictures, People, Runtime};
use kernel::{Clock, Grant, IdSource, Service};
use keys::SystemRandom;
use projector::ReadModels;
use user_api::DueEndings;

use crate::adapters::{Adapters, AuthDueEndings, CachedTenants, RangeService};
use crate::domains::DomainDefinition;
use crate::server::StartError;
use crate::service::{Background, Written};

/// How often old sign-in attempts are removed from memory.
const UPKEEP_INTERVAL: Duration = Duration::from_mins(1);

/// The parts of the auth service in this process.
pub struct Issuers {
    /// Checks tokens of the tenants' issuers, and API keys.
    pub trust: Trust,
    /// The changes that invalidate earlier checks.
    pub changed_ids: Arc<ChangedIds>,
    /// Records denials.
    pub denials: Denials,
    /// The executor over the log of the auth service.
    pub executor: Executor,
    /// Reads what the auth service stores about a user.
    pub sign_in_records: SignInRecords,
    /// The issuers, if the auth service runs in this process.
    pub provider: Option<Provider>,
    /// The logs of services that run in other processes, opened only for this.
    pub opened: Vec<EventStore>,
}

/// Opens the verification of tokens, and the issuers if the auth service is among those `served`.
pub async fn open(
    config: &Config,
    address: SocketAddr,
    served: &[(DomainDefinition, Runtime)],
    adapters: &Adapters,
    grants: &[Grant],
    (clock, ids): (Arc<dyn Clock>, Arc<dyn IdSource>),
    background: &Background,
) -> Result<Issuers, StartError> {
    let here = served.iter().any(|(_, runtime)| runtime.service == auth_api::SERVICE);
    let log = Written::open(config, auth_api::SERVICE, served, clock.clone(), ids.clone(), &background.pools).await?;
    // Only the issuers need to look up people; the verification of tokens does not.
    let (people, users) = if here {
        let users = Written::open(config, user_api::SERVICE, served, clock.clone(), ids, &background.pools).await?;
        let read_models = read_models::<user_api::User>(config, served, background);
        let endings = Arc::new(AuthDueEndings { executor: log.executor.clone() });
        (Some(people(config, read_models, &users, adapters, grants, endings)?), Some(users))
    } else {
        (None, None)
    };
    let master = config.master_key();
    if here && master.is_none() {
        return Err(WriteSideError::MasterKey.into());
    }
    let authority = Authority::new(Parts {
        executor: log.executor.clone(),
        tenants: Arc::new(CachedTenants::new(background.pools.directory(config))),
        active_tenants: Arc::new(adapters.suspended.clone()),
        people: people.as_ref().map(|known| known.people.clone()),
        permissions: adapters.permission_resolver.clone(),
        links: people.as_ref().map(|known| known.links.clone()),
        pictures: people.as_ref().map(|known| known.pictures.clone()),
        admission: people.map(|known| known.admission),
        master,
        random: Arc::new(SystemRandom),
        clock,
        settings: settings(config, address),
    });
    let changed_ids = Arc::new(ChangedIds::default());
    let (followed, notified, changes) = (log.store.clone(), authority.clone(), changed_ids.clone());
    background.spawn("changes of tokens", move |shutdown| {
        follow(followed.clone(), notified.clone(), changes.clone(), shutdown)
    });
    let trust = Trust::new(authority.clone());
    let denials = Denials::new(authority.clone());
    let counts = denials.clone();
    background.spawn("denied access", move |shutdown| counts.clone().write_periodically(shutdown));
    let client_address = client_address(config)?;
    let provider = here.then(|| Provider {
        authority,
        trust: trust.clone(),
        attempts: Arc::new(Attempts::default()),
        polls: Arc::default(),
        passwords: Arc::new(Passwords::default().against(breaches(config))),
        saml: Arc::new(saml::WebSso),
        read_models: read_models_of(served, auth_api::SERVICE),
        client_address,
    });
    if let Some(provider) = &provider {
        spawn_upkeep(provider.attempts.clone(), background);
    }
    let read_models = read_models::<auth_api::Auth>(config, served, background);
    let sign_in_records = SignInRecords::new(log.store.clone(), log.executor.clone(), read_models);
    let opened = std::iter::once((log.store, log.alone)).chain(users.map(|users| (users.store, users.alone)));
    let opened = opened.filter_map(|(store, alone)| alone.then_some(store)).collect();
    Ok(Issuers { trust, changed_ids, denials, executor: log.executor, sign_in_records, provider, opened })
}

/// The read models of a service that runs in this process.
pub fn read_models_of(served: &[(DomainDefinition, Runtime)], service: Service) -> Option<ReadModels> {
    let found = served.iter().map(|(_, runtime)| runtime).find(|runtime| runtime.service == service);
    found.map(|runtime| runtime.read_models.clone())
}

/// The read models of a domain: those of its service if that runs in this process, otherwise opened here.
fn read_models<D: Domain>(
    config: &Config,
    served: &[(DomainDefinition, Runtime)],
    background: &Background,
) -> ReadModels {
    read_models_of(served, D::SERVICE).unwrap_or_else(|| {
        let opened = ReadModels::new(&config.database(D::SERVICE), &D::projections(), None);
        let known = opened.clone();
        background.pools.note(D::SERVICE.name(), move || vec![known.pool()]);
        opened
    })
}

/// The ports of the issuers that the user service implements.
struct Known {
    /// Looks up people.
    people: Arc<dyn People>,
    /// Looks up mailed links.
    links: Arc<dyn MailedLinks>,
    /// Changes the pictures that people have of themselves.
    pictures: Arc<dyn OwnPictures>,
    /// Admits people whom an identity provider has authenticated.
    admission: Arc<dyn Admission>,
}

/// The user service's implementations of these ports.
fn people(
    config: &Config,
    read_models: ReadModels,
    log: &Written,
    adapters: &Adapters,
    grants: &[Grant],
    endings: Arc<dyn DueEndings>,
) -> Result<Known, StartError> {
    let secret = claim_key(config).ok_or(WriteSideError::ClaimKey)?;
    let (executor, machines) = (log.executor.clone(), adapters.machines.clone());
    let links = user_api::UserMailedLinks::new(executor, read_models.clone(), &secret, grants, machines.clone());
    let (executor, permissions) = (log.executor.clone(), adapters.permission_resolver.clone());
    let pictures = user_api::UserOwnPictures::new(executor, read_models.clone(), permissions);
    let (store, executor) = (log.store.clone(), log.executor.clone());
    let admission = user_api::UserAdmission::new(store, executor, read_models.clone(), grants, machines, endings);
    Ok(Known {
        admission: Arc::new(admission),
        people: Arc::new(user_api::UserDirectory::new(read_models)),
        links: Arc::new(links),
        pictures: Arc::new(pictures),
    })
}

/// The public base URL: the configured one, or else that of the address that the server listens on.
pub fn public_url(config: &Config, address: SocketAddr) -> String {
    if config.http.public_url.is_empty() { format!("http://{address}") } else { config.http.public_url.clone() }
}

/// The service that knows breached passwords; none: none is configured, and passwords are not checked against it.
fn breaches(config: &Config) -> Option<Arc<dyn Breaches>> {
    let url = &config.auth.breaches_url;
    (!url.is_empty()).then(|| Arc::new(RangeService::new(url)) as Arc<dyn Breaches>)
}

/// Determines client addresses, behind the configured trusted proxies.
///
/// # Errors
/// When the list of trusted proxies is invalid.
pub fn client_address(config: &Config) -> Result<ClientAddressHeader, StartError> {
    let proxies = config.http.proxies().map_err(StartError::Proxies)?;
    Ok(ClientAddressHeader::new(claim_key(config).as_ref(), proxies.into()))
}

/// The settings of the tenants' issuers. `address`: the address that this process listens on, used if no public URL is configured.
pub fn settings(config: &Config, address: SocketAddr) -> Settings {
    Settings {
        public_url: public_url(config, address),
        audience: config.auth.audience.clone(),
        leeway: TimeDelta::seconds(config.auth.leeway_seconds.cast_signed()),
        access: TimeDelta::seconds(config.auth.access_token_seconds.into()),
        overlap: TimeDelta::seconds(config.auth.key_overlap_seconds.into()),
        rotation: Some(config.auth.key_rotation_days).filter(|days| *days > 0).map(|days| TimeDelta::days(days.into())),
    }
}

/// Spawns a task that regularly removes old sign-in attempts.
fn spawn_upkeep(attempts: Arc<Attempts>, background: &Background) {
    background.spawn("upkeep of sign-in attempts", move |shutdown| {
        let attempts = Arc::clone(&attempts);
        async move {
            let mut ticks = tokio::time::interval(UPKEEP_INTERVAL);
            while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
                attempts.tidy();
            }
        }
    });
}
