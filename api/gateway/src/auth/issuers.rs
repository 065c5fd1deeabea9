//! Tenants' issuers in this process: what signs, where the auth service runs; and what verifies, everywhere.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use auth_api::authority::{Authority, Parts, Settings};
use auth_api::password::Passwords;
use auth_api::provider::{Attempts, Provider, SeenFrom};
use auth_api::trust::{Denials, Touched, Trust, follow};
use auth_api::{Breaches, Dossier};
use chrono::TimeDelta;
use config::{Config, claim_key};
use directory::{Directory, WriteSideError};
use eventstore::EventStore;
use executor::Executor;
use face::{Admission, Domain, MailedLinks, People, Runtime};
use kernel::{Clock, IdSource, Service};
use keys::SystemRandom;
use projector::ReadModels;

use crate::adapters::{Adapters, CachedTenants, RangeService};
use crate::domains::DomainDefinition;
use crate::server::StartError;
use crate::service::{Background, Written};

/// How often attempts that are long past are forgotten.
const TIDY: Duration = Duration::from_mins(1);

/// What this process has of the tenants' issuers.
pub struct Issuers {
    /// Says whether a token holds.
    pub trust: Trust,
    /// What of that changed.
    pub touched: Arc<Touched>,
    /// Puts on record what callers are denied.
    pub denials: Denials,
    /// Over the log of the auth service.
    pub executor: Executor,
    /// What is known of people where they sign in.
    pub dossier: Dossier,
    /// The issuers themselves, where the auth service runs.
    pub provider: Option<Provider>,
    /// The logs of other services that are open for this alone.
    pub opened: Vec<EventStore>,
}

/// Opens what verifies tokens, and what issues them where the auth service is among those `served`.
pub async fn open(
    config: &Config,
    address: SocketAddr,
    served: &[(DomainDefinition, Runtime)],
    adapters: &Adapters,
    (clock, ids): (Arc<dyn Clock>, Arc<dyn IdSource>),
    background: &Background,
) -> Result<Issuers, StartError> {
    let here = served.iter().any(|(_, runtime)| runtime.service == auth_api::SERVICE);
    let log = Written::open(config, auth_api::SERVICE, served, clock.clone(), ids.clone()).await?;
    // Who signs people in asks who they are; who only verifies tokens does not.
    let (people, users) = if here {
        let users = Written::open(config, user_api::SERVICE, served, clock.clone(), ids).await?;
        (Some(people(config, served, &users)?), Some(users))
    } else {
        (None, None)
    };
    let master = config.master_key();
    if here && master.is_none() {
        return Err(WriteSideError::MasterKey.into());
    }
    let authority = Authority::new(Parts {
        executor: log.executor.clone(),
        tenants: Arc::new(CachedTenants::new(Directory::open(config))),
        active_tenants: Arc::new(adapters.suspended.clone()),
        people: people.as_ref().map(|known| known.people.clone()),
        links: people.as_ref().map(|known| known.links.clone()),
        admission: people.map(|known| known.admission),
        master,
        random: Arc::new(SystemRandom),
        clock,
        settings: settings(config, address),
    });
    let touched = Arc::new(Touched::default());
    let shutdown = background.shutdown.clone();
    background.tasks.spawn(follow(log.store.clone(), authority.clone(), touched.clone(), shutdown));
    let trust = Trust::new(authority.clone());
    let denials = Denials::new(authority.clone());
    background.tasks.spawn(denials.clone().keep_telling(background.shutdown.clone()));
    let seen_from = seen_from(config)?;
    let provider = here.then(|| Provider {
        authority,
        trust: trust.clone(),
        attempts: Arc::new(Attempts::default()),
        polls: Arc::default(),
        passwords: Arc::new(Passwords::default().against(breaches(config))),
        saml: Arc::new(saml::WebSso),
        read_models: read_models_of(served, auth_api::SERVICE),
        seen_from,
    });
    if let Some(provider) = &provider {
        tidy(provider.attempts.clone(), background);
    }
    let elsewhere = || ReadModels::new(&config.database(auth_api::SERVICE), &auth_api::Auth::projections(), None);
    let read_models = read_models_of(served, auth_api::SERVICE).unwrap_or_else(elsewhere);
    let dossier = Dossier::new(log.store.clone(), log.executor.clone(), read_models);
    let opened = std::iter::once((log.store, log.alone)).chain(users.map(|users| (users.store, users.alone)));
    let opened = opened.filter_map(|(store, alone)| alone.then_some(store)).collect();
    Ok(Issuers { trust, touched, denials, executor: log.executor, dossier, provider, opened })
}

/// The read models of a service that runs in this process.
pub fn read_models_of(served: &[(DomainDefinition, Runtime)], service: Service) -> Option<ReadModels> {
    let found = served.iter().map(|(_, runtime)| runtime).find(|runtime| runtime.service == service);
    found.map(|runtime| runtime.read_models.clone())
}

/// What the user service has for who signs people in.
struct Known {
    /// Who people are.
    people: Arc<dyn People>,
    /// What the links are good for that were mailed to them.
    links: Arc<dyn MailedLinks>,
    /// Who lets in whom an identity provider vouches for.
    admission: Arc<dyn Admission>,
}

/// That, of the user service.
fn people(config: &Config, served: &[(DomainDefinition, Runtime)], log: &Written) -> Result<Known, StartError> {
    let service = user_api::SERVICE;
    let elsewhere = || ReadModels::new(&config.database(service), &user_api::User::projections(), None);
    let read_models = read_models_of(served, service).unwrap_or_else(elsewhere);
    let secret = claim_key(config).ok_or(WriteSideError::ClaimKey)?;
    let links = user_api::UserMailedLinks::new(log.executor.clone(), read_models.clone(), &secret);
    Ok(Known {
        admission: Arc::new(user_api::UserAdmission::new(log.executor.clone(), read_models.clone())),
        people: Arc::new(user_api::UserDirectory::new(read_models)),
        links: Arc::new(links),
    })
}

/// Where this is to be found, for those who are told.
pub fn public_url(config: &Config, address: SocketAddr) -> String {
    if config.http.public_url.is_empty() { format!("http://{address}") } else { config.http.public_url.clone() }
}

/// Who knows which passwords were seen in breaches; none: nobody is asked.
fn breaches(config: &Config) -> Option<Arc<dyn Breaches>> {
    let url = &config.auth.breaches_url;
    (!url.is_empty()).then(|| Arc::new(RangeService::new(url)) as Arc<dyn Breaches>)
}

/// Who knows from where requests came.
pub fn seen_from(config: &Config) -> Result<SeenFrom, StartError> {
    let proxies = config.http.proxies().map_err(StartError::Proxies)?;
    Ok(SeenFrom::new(claim_key(config).as_ref(), proxies.into()))
}

/// How the tenants' issuers sign, as configured. `address`: where this process listens, for who is told no public URL.
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

fn tidy(attempts: Arc<Attempts>, background: &Background) {
    let shutdown = background.shutdown.clone();
    background.tasks.spawn(async move {
        let mut ticks = tokio::time::interval(TIDY);
        while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
            attempts.tidy();
        }
    });
}
