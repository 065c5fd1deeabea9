//! The steps of a start, in order: opens the services, then sets up authentication, then builds the routes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use auth_api::provider::{ClientAddressHeader, Provider};
use auth_api::trust::Denials;
use config::Config;
use directory::{WriteSideError, check_keys};
use events_api::feed::RunningFeeds;
use eventstore::EventStore;
use face::{ReadSide, Runtime};
use kernel::{Clock, Grant, IdSource, Service};
use nats::Bus;
use poem::Route;
use remote::Remote;
use tokio_util::sync::CancellationToken;

use super::{Services, StartError};
use crate::adapters::{Adapters, SignOut};
use crate::auth::denials::DenialRecorder;
use crate::auth::{Verifier, issuers, user_log};
use crate::domains::{self, DomainDefinition, RouteTable};
use crate::front::RateLimiter;
use crate::operations::{Readiness, consumers};
use crate::routes::{self, Served, dev_mail, forwarding};
use crate::service::{self, Background, Running};

/// What all steps of a start use.
pub(super) struct Assembly<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// The address that the server listens on.
    pub address: SocketAddr,
    /// The bus.
    pub bus: &'a Bus,
    /// The adapters of the domains' ports; the late-bound ones are bound in these steps.
    pub adapters: &'a Adapters,
    /// The permission tables of all domains.
    pub grants: Arc<[Grant]>,
    /// The source of the time.
    pub clock: Arc<dyn Clock>,
    /// The source of ids.
    pub ids: Arc<dyn IdSource>,
    /// The background tasks.
    pub background: &'a Background,
    /// Cancelled when no new requests are accepted any more.
    pub stop: &'a CancellationToken,
}

/// A domain whose service runs in this process.
type Here = (DomainDefinition, Runtime);

/// A domain whose service runs in other processes, with access to its read models.
type Elsewhere = (DomainDefinition, Arc<Remote>, ReadSide);

/// All services, opened in this process or connected to in others.
pub(super) struct Opened {
    /// The domains that run in this process.
    pub here: Vec<Here>,
    /// The running parts of each of them.
    pub running: Vec<Running>,
    /// The domains that run in other processes.
    pub elsewhere: Vec<Elsewhere>,
}

impl Opened {
    /// The names of the services in this process, and of those in other processes.
    pub fn names(&self) -> (String, String) {
        let here: Vec<_> = self.here.iter().map(|(domain, _)| domain.service.name()).collect();
        let elsewhere: Vec<_> = self.elsewhere.iter().map(|(domain, ..)| domain.service.name()).collect();
        (here.join(", "), elsewhere.join(", "))
    }
}

/// Authentication of callers, and the record of their denials.
pub(super) struct Callers {
    /// Verifies tokens.
    pub verifier: Arc<Verifier>,
    /// Extracts denials from responses and passes them to `denials`.
    pub recorder: DenialRecorder,
    /// Writes denials to the log.
    pub denials: Denials,
    /// Determines the client address of a request.
    pub client_address: ClientAddressHeader,
    /// The tenants' issuers, if the auth service runs in this process.
    pub provider: Option<Provider>,
    /// The logs of services that run in other processes, opened only for authentication.
    pub stores: Vec<EventStore>,
}

impl Assembly<'_> {
    /// Opens the services that this process runs, and connects to the others.
    pub async fn open(&self, services: Services) -> Result<Opened, StartError> {
        let (config, background) = (self.config, self.background);
        let mut placed = Vec::new();
        for domain in domains::all_with(self.adapters).into_iter().filter(|domain| services.includes(domain.service)) {
            placed.push((services.elsewhere(domain.service, config)?, domain));
        }
        let here = placed.iter().filter(|(elsewhere, _)| elsewhere.is_none());
        self.check_keys(here.map(|(_, domain)| domain).collect()).await?;
        let mut opened = Opened { here: Vec::new(), running: Vec::new(), elsewhere: Vec::new() };
        for (elsewhere, domain) in placed {
            if let Some(urls) = elsewhere {
                let remote = background.remote(domain.service, &urls, config.http.body_limit);
                let read_side =
                    service::read_side(&domain, config, self.bus, self.grants.clone(), self.adapters.url.clone());
                let read_models = read_side.read_models.clone();
                background.pools.note(domain.service.name(), move || vec![read_models.pool()]);
                opened.elsewhere.push((domain, remote, read_side));
                continue;
            }
            let grants = self.grants.clone();
            let running =
                service::open(&domain, config, self.bus, self.adapters, self.sources(), grants, background).await?;
            opened.here.push((domain, running.runtime.clone()));
            opened.running.push(running);
        }
        Ok(opened)
    }

    /// Checks the keys of this process in all logs that it opens, before the first of them is opened.
    async fn check_keys(&self, here: Vec<&DomainDefinition>) -> Result<(), StartError> {
        if here.iter().any(|domain| domain.is_sealed()) && self.config.master_key().is_none() {
            return Err(WriteSideError::MasterKey.into());
        }
        let mut logs: Vec<_> = here.iter().map(|domain| domain.service).collect();
        // Whoever verifies tokens opens these, wherever their services run.
        for needed in [auth_api::SERVICE, user_api::SERVICE] {
            if !logs.contains(&needed) {
                logs.push(needed);
            }
        }
        Ok(check_keys(self.config, &logs).await?)
    }

    /// Sets up authentication, and binds the adapters that depend on it.
    pub async fn callers(&self, here: &[Here]) -> Result<Callers, StartError> {
        let (config, adapters, background) = (self.config, self.adapters, self.background);
        let issuers =
            issuers::open(config, self.address, here, adapters, &self.grants, self.sources(), background).await?;
        if let Some(provider) = &issuers.provider {
            adapters.authority.bind(provider.authority.clone());
        }
        adapters.machines.bind(issuers.executor.clone());
        adapters.sign_in_records.bind(issuers.sign_in_records);
        if let Some(people) = issuers::read_models_of(here, user_api::SERVICE) {
            adapters.access.bind(SignOut { executor: issuers.executor.clone(), people });
        }
        let suspended = &adapters.suspended;
        let noting = (issuers.changed_ids.clone(), suspended.clone());
        let users =
            user_log::open(config, here, &self.grants, noting, self.sources(), &issuers.opened, background).await?;
        adapters.permission_resolver.bind(users.permission_resolver.clone());
        let verifier = Verifier::new(
            &config.auth,
            issuers.trust,
            issuers.changed_ids,
            users.permission_resolver,
            self.clock.clone(),
            suspended.clone(),
        )?;
        let client_address = issuers::client_address(config)?;
        Ok(Callers {
            verifier: Arc::new(verifier),
            recorder: DenialRecorder::new(issuers.denials.clone(), client_address.clone()),
            denials: issuers.denials,
            client_address,
            provider: issuers.provider,
            stores: issuers.opened.into_iter().chain(users.store).collect(),
        })
    }

    /// All routes of the process.
    pub fn routes(&self, opened: Opened, callers: &Callers, rates: &Arc<RateLimiter>) -> Route {
        let Opened { here, running, elsewhere } = opened;
        let running_feeds = RunningFeeds::default();
        consumers::observe(running.clone(), running_feeds.clone(), self.background);
        let remotes = elsewhere.iter().map(|(_, remote, read_side)| (remote.clone(), read_side.clone())).collect();
        let readiness = Arc::new(Readiness::new(
            self.bus.clone(),
            running.clone(),
            remotes,
            running_feeds.clone(),
            self.adapters.suspended.clone(),
            self.config.keys_in_vault(),
        ));
        let with = (&callers.client_address, self.stop);
        let scim = match (runs(&here, user_api::SERVICE), remote(&elsewhere, user_api::SERVICE)) {
            (Some(runtime), _) => {
                user_api::scim::endpoints(runtime.clone(), &issuers::public_url(self.config, self.address))
            }
            (None, Some(remote)) => forwarding::scim(remote, with),
            (None, None) => Vec::new(),
        };
        let issuers = match (&callers.provider, remote(&elsewhere, auth_api::SERVICE)) {
            (Some(provider), _) => auth_api::provider::endpoints(provider),
            (None, Some(remote)) => forwarding::issuers(remote, with),
            (None, None) => Vec::new(),
        };
        let platform = self.platform(&here, &running, running_feeds);
        let routes = routes::routes(
            self.config,
            Served { here, elsewhere, platform },
            (readiness, self.background.pools.clone()),
            (callers.verifier.clone(), rates.clone(), callers.recorder.clone()),
            (&callers.client_address, self.stop.clone()),
        );
        let routes = match (self.adapters.caught.clone(), self.adapters.caught_texts.clone()) {
            (None, None) => routes,
            (mails, texts) => dev_mail::routes(routes, mails, texts),
        };
        routes::protocols(routes, issuers, scim)
    }

    /// The operations that belong to no domain, over the services in this process.
    fn platform(&self, here: &[Here], running: &[Running], running_feeds: RunningFeeds) -> RouteTable {
        let platform = events_api::Platform {
            services: here.iter().map(|(_, runtime)| runtime.clone()).collect(),
            webhooks: running.iter().map(|running| running.webhooks.clone()).collect(),
            types: domains::catalogue().into(),
            feeds: feeds(&self.config.events),
            cell: self.config.directory.cell.as_deref().map(Into::into),
            running_feeds,
            stop: self.stop.clone(),
        };
        let sagas = running.iter().filter_map(|running| Some(running.sagas.as_ref()?.0.clone())).collect();
        let jobs = running.iter().map(|running| running.runtime.jobs.clone()).collect();
        let dead_letters = running.iter().filter_map(|running| running.dead_letters.clone()).collect();
        domains::platform_routes(&platform, sagas, jobs, dead_letters)
    }

    fn sources(&self) -> (Arc<dyn Clock>, Arc<dyn IdSource>) {
        (self.clock.clone(), self.ids.clone())
    }
}

/// The runtime of a service, if it runs in this process.
fn runs(here: &[Here], service: Service) -> Option<&Runtime> {
    here.iter().map(|(_, runtime)| runtime).find(|runtime| runtime.service == service)
}

/// The instances of a service, if it runs in other processes.
fn remote(elsewhere: &[Elsewhere], service: Service) -> Option<&Arc<Remote>> {
    elsewhere.iter().find(|(domain, ..)| domain.service == service).map(|(_, remote, _)| remote)
}

/// The settings of event feeds.
const fn feeds(events: &config::Events) -> events_api::feed::Settings {
    events_api::feed::Settings {
        per_tenant: events.feeds_per_tenant,
        heartbeat: Duration::from_secs(events.heartbeat_seconds),
    }
}
