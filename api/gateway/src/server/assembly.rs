//! The steps of a start, in their order: services are opened, then what tells who callers are, then all is put under routes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use auth_api::provider::{Provider, SeenFrom};
use auth_api::trust::Denials;
use config::Config;
use events_api::feed::RunningFeeds;
use eventstore::EventStore;
use face::{Reading, Runtime};
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

/// What all steps work with.
pub(super) struct Assembly<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// Where it is listened.
    pub address: SocketAddr,
    /// The bus.
    pub bus: &'a Bus,
    /// What the domains' ports lead to; those that are late are bound here.
    pub adapters: &'a Adapters,
    /// The permission tables of all domains.
    pub grants: Arc<[Grant]>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Ids.
    pub ids: Arc<dyn IdSource>,
    /// What runs beside the requests.
    pub background: &'a Background,
    /// Cancelled when no new requests are taken any more.
    pub stop: &'a CancellationToken,
}

/// A domain that runs here.
type Here = (DomainDefinition, Runtime);

/// A domain that runs elsewhere, with its read models.
type Elsewhere = (DomainDefinition, Arc<Remote>, Reading);

/// The services, each opened here or found elsewhere.
pub(super) struct Opened {
    /// Those that run here.
    pub here: Vec<Here>,
    /// The same, and what runs of each.
    pub running: Vec<Running>,
    /// Those that run elsewhere.
    pub elsewhere: Vec<Elsewhere>,
}

impl Opened {
    /// The names of those that run here, and of those that run elsewhere.
    pub fn names(&self) -> (String, String) {
        let here: Vec<_> = self.here.iter().map(|(domain, _)| domain.service.name()).collect();
        let elsewhere: Vec<_> = self.elsewhere.iter().map(|(domain, ..)| domain.service.name()).collect();
        (here.join(", "), elsewhere.join(", "))
    }
}

/// What tells who callers are, and has on record what they are denied.
pub(super) struct Callers {
    /// Verifies tokens.
    pub verifier: Arc<Verifier>,
    /// Has denials recorded.
    pub recorder: DenialRecorder,
    /// The record of denials.
    pub denials: Denials,
    /// Tells from where requests come.
    pub seen_from: SeenFrom,
    /// The tenants' issuers, where the auth service runs.
    pub provider: Option<Provider>,
    /// The logs of services that don't run here, which are open for this alone.
    pub stores: Vec<EventStore>,
}

impl Assembly<'_> {
    /// Opens the services that this process runs, and finds the others.
    pub async fn open(&self, services: Services) -> Result<Opened, StartError> {
        let (config, background) = (self.config, self.background);
        let mut opened = Opened { here: Vec::new(), running: Vec::new(), elsewhere: Vec::new() };
        for domain in domains::all_with(self.adapters).into_iter().filter(|domain| services.includes(domain.service)) {
            if let Some(urls) = services.elsewhere(domain.service, config)? {
                let remote = Remote::open(
                    domain.service,
                    &urls,
                    config.http.body_limit,
                    &background.tasks,
                    &background.shutdown,
                );
                let reading =
                    service::reading(&domain, config, self.bus, self.grants.clone(), self.adapters.url.clone());
                opened.elsewhere.push((domain, remote, reading));
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

    /// Opens what tells who callers are, and binds the adapters that ask it.
    pub async fn callers(&self, here: &[Here]) -> Result<Callers, StartError> {
        let (config, adapters, background) = (self.config, self.adapters, self.background);
        let issuers = issuers::open(config, self.address, here, adapters, self.sources(), background).await?;
        if let Some(provider) = &issuers.provider {
            adapters.authority.bind(provider.authority.clone());
        }
        adapters.machines.bind(issuers.executor.clone());
        adapters.dossier.bind(issuers.dossier);
        if let Some(people) = issuers::read_models_of(here, user_api::SERVICE) {
            adapters.access.bind(SignOut { executor: issuers.executor.clone(), people });
        }
        let suspended = &adapters.suspended;
        let noting = (issuers.touched.clone(), suspended.clone());
        let users =
            user_log::open(config, here, &self.grants, noting, self.sources(), &issuers.opened, background).await?;
        adapters.bearers.bind(users.bearers.clone());
        let verifier = Verifier::new(
            &config.auth,
            issuers.trust,
            issuers.touched,
            users.bearers,
            self.clock.clone(),
            suspended.clone(),
        )?;
        let seen_from = issuers::seen_from(config)?;
        Ok(Callers {
            verifier: Arc::new(verifier),
            recorder: DenialRecorder::new(issuers.denials.clone(), seen_from.clone()),
            denials: issuers.denials,
            seen_from,
            provider: issuers.provider,
            stores: issuers.opened.into_iter().chain(users.store).collect(),
        })
    }

    /// All routes of the process.
    pub fn routes(&self, opened: Opened, callers: &Callers, rates: &Arc<RateLimiter>) -> Route {
        let Opened { here, running, elsewhere } = opened;
        let running_feeds = RunningFeeds::default();
        consumers::observe(running.clone(), running_feeds.clone(), self.background);
        let remotes = elsewhere.iter().map(|(_, remote, reading)| (remote.clone(), reading.clone())).collect();
        let readiness = Arc::new(Readiness::new(
            self.bus.clone(),
            running.clone(),
            remotes,
            running_feeds.clone(),
            self.adapters.suspended.clone(),
            self.config.keys_in_vault(),
        ));
        let with = (&callers.seen_from, self.stop);
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
            readiness,
            (callers.verifier.clone(), rates.clone(), callers.recorder.clone()),
            (&callers.seen_from, self.stop.clone()),
        );
        let routes = match (self.adapters.caught.clone(), self.adapters.caught_texts.clone()) {
            (None, None) => routes,
            (mails, texts) => dev_mail::routes(routes, mails, texts),
        };
        routes::protocols(routes, issuers, scim)
    }

    /// What belongs to no domain, over the services that run here.
    fn platform(&self, here: &[Here], running: &[Running], running_feeds: RunningFeeds) -> RouteTable {
        let platform = events_api::Platform {
            services: here.iter().map(|(_, runtime)| runtime.clone()).collect(),
            webhooks: running.iter().map(|running| running.webhooks.clone()).collect(),
            types: domains::catalogue().into(),
            feeds: feeds(&self.config.events),
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

/// A service, if it runs here.
fn runs(here: &[Here], service: Service) -> Option<&Runtime> {
    here.iter().map(|(_, runtime)| runtime).find(|runtime| runtime.service == service)
}

/// A service's instances, if it runs elsewhere.
fn remote(elsewhere: &[Elsewhere], service: Service) -> Option<&Arc<Remote>> {
    elsewhere.iter().find(|(domain, ..)| domain.service == service).map(|(_, remote, _)| remote)
}

/// How feeds work.
const fn feeds(events: &config::Events) -> events_api::feed::Settings {
    events_api::feed::Settings {
        per_tenant: events.feeds_per_tenant,
        heartbeat: Duration::from_secs(events.heartbeat_seconds),
    }
}
