//! The context of every command: the configuration, and connections that it leads to.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use directory::{Directory, DirectoryError, Placements, Tenant};
use eventstore::EventStore;
use gateway::{Config, DomainDefinition, SERVICES};
use kernel::{Caller, Role, Service, SystemClock, TenantId};
use nats::Bus;

use crate::dev::home::Home;
use crate::output::Format;

/// The configuration file's name in the current folder.
const FILE: &str = "inopsio.toml";

/// The configuration and the output format.
pub struct Context {
    /// The configuration.
    pub config: Config,
    /// How results are printed.
    pub format: Format,
}

/// Where the configuration is read from, besides environment variables.
pub struct Place {
    /// The file that was named (`--config`, INOPSIO_CONFIG).
    pub file: Option<PathBuf>,
    /// The development environment's folder (`--home`, INOPSIO_HOME).
    pub home: PathBuf,
}

impl Place {
    /// The file to read: the named one, else `inopsio.toml` in the current folder, else the development environment's, else none.
    pub fn file(&self) -> Option<PathBuf> {
        let usual = [PathBuf::from(FILE), Home::config_in(&self.home)];
        self.file.clone().or_else(|| usual.into_iter().find(|file| file.is_file()))
    }

    /// Whether only a development environment is configured.
    pub fn is_private(&self) -> bool {
        let configured = self.file.is_some() || Path::new(FILE).is_file();
        !configured
            && ["INOPSIO_POSTGRES_ADMIN_URL", "INOPSIO_POSTGRES_ADMIN_URL_FILE"]
                .iter()
                .all(|name| std::env::var_os(name).is_none())
    }
}

impl Context {
    /// Reads the configuration.
    pub fn load(place: &Place, flags: Vec<(&'static str, String)>, format: Format) -> Result<Self> {
        Ok(Self { config: Config::load(place.file().as_deref(), flags, &gateway::known())?, format })
    }

    /// Finds a tenant by name or id. If there are several cells, it has to live in this one: another has nothing of it, or an old copy, which
    /// would pass for its history.
    pub async fn tenant(&self, slug_or_id: &str) -> Result<TenantId> {
        self.found(Directory::open(&self.config).find_here(slug_or_id).await)
    }

    /// As [`tenant`](Self::tenant), in whichever cell it lives.
    pub async fn tenant_anywhere(&self, slug_or_id: &str) -> Result<TenantId> {
        self.found(Directory::open(&self.config).find(slug_or_id).await)
    }

    /// All tenants that live in this cell, if there are several, by name.
    pub async fn tenants(&self) -> Result<Vec<Tenant>> {
        Directory::open(&self.config).list_here().await.with_context(|| self.reachable())
    }

    /// All deleted tenants.
    #[expect(clippy::disallowed_methods, reason = "the directory says that these were tenants")]
    pub async fn deleted_tenants(&self) -> Result<Vec<TenantId>> {
        let deleted = Placements::of(&Directory::open(&self.config)).deleted().await?;
        Ok(deleted.into_iter().map(|gone| TenantId::vouched(gone.tenant_id)).collect())
    }

    fn found(&self, found: Result<Tenant, DirectoryError>) -> Result<TenantId> {
        match found {
            Err(error @ DirectoryError::Storage(_)) => Err(error).context(self.reachable()),
            found => Ok(found?.tenant_id),
        }
    }

    /// Finds a tenant by name or id, or a deleted tenant by its id. The directory no longer lists deleted tenants, but operators still
    /// resume their deletion saga, and auditors read their history.
    #[expect(clippy::disallowed_methods, reason = "the directory says that this was a tenant")]
    pub async fn tenant_or_deleted(&self, slug_or_id: &str) -> Result<TenantId> {
        let unknown = match self.tenant(slug_or_id).await {
            Err(error) if matches!(error.downcast_ref(), Some(DirectoryError::Unknown(_))) => error,
            found => return found,
        };
        let deleted = Placements::of(&Directory::open(&self.config)).deleted().await?;
        if let Ok(id) = slug_or_id.parse::<uuid::Uuid>() {
            return if deleted.iter().any(|gone| gone.tenant_id == id) {
                Ok(TenantId::vouched(id))
            } else {
                Err(unknown)
            };
        }
        // Several deleted tenants may have had the name, so the id has to be given.
        match deleted.iter().rfind(|gone| gone.slug == slug_or_id) {
            Some(gone) => bail!("{unknown}; one of that name was deleted: name it by its id, {}", gone.tenant_id),
            None => Err(unknown),
        }
    }

    /// Opens the log of a service.
    pub async fn store(&self, service: Service) -> Result<EventStore> {
        EventStore::open(&self.config.database(service), self.config.log_settings(), Arc::new(SystemClock))
            .await
            .context(self.reachable())
    }

    /// Connects to NATS.
    pub async fn bus(&self) -> Result<Bus> {
        let settings = nats::Settings { connect_later: false, ..self.config.bus_settings() };
        // The error names the server without the password that its URL may contain.
        Bus::connect(&settings).await.context("can't reach nats-server")
    }

    /// Where Postgres should be, as the context of errors from it.
    pub fn reachable(&self) -> String {
        let postgres = &self.config.postgres;
        format!("Postgres at {}:{}", postgres.host, postgres.port)
    }
}

/// The caller in whose name commands act: an administrator of the tenant, with the permissions of all services.
pub fn administrator(tenant: TenantId) -> Caller {
    Caller::new(tenant, "cli", &[Role::Admin], &gateway::grants())
}

/// Checks that a reason from the command line is not empty.
pub fn given(reason: &str) -> Result<&str> {
    if reason.trim().is_empty() {
        bail!("--reason is empty; give a reason for those who read the record later");
    }
    Ok(reason)
}

/// Parses an id from the command line.
pub fn uuid(text: &str) -> Result<uuid::Uuid, String> {
    text.parse().map_err(|_| "allowed is a UUID, such as 0192f0c4-0000-8000-8000-000000000000".to_owned())
}

/// The tenant and the services that a command works on.
#[derive(Debug, clap::Args)]
pub struct Whose {
    /// The tenant: its name or id
    #[arg(long)]
    pub tenant: String,
    /// Only this service, such as crm; all unless given
    #[arg(long)]
    pub service: Option<String>,
}

impl Whose {
    /// The selected services, as [`selected`].
    pub fn services(&self, has: impl Fn(&DomainDefinition) -> bool, what: &str) -> Result<Vec<DomainDefinition>> {
        selected(self.service.as_deref(), has, what)
    }
}

/// The services, or the one with this name, without those for which `has` is false. Fails if the named service is one of these.
pub fn selected(
    name: Option<&str>,
    has: impl Fn(&DomainDefinition) -> bool,
    what: &str,
) -> Result<Vec<DomainDefinition>> {
    let named = name.map(service).transpose()?;
    let asked = gateway::domains().into_iter().filter(|domain| named.is_none_or(|named| domain.service == named));
    let found: Vec<_> = asked.filter(has).collect();
    match named {
        Some(named) if found.is_empty() => bail!("the service {named} has no {what}"),
        _ => Ok(found),
    }
}

/// The service with this name.
pub fn service(name: &str) -> Result<Service> {
    let Some(service) = SERVICES.iter().find(|service| service.name() == name) else {
        bail!("there is no service {name:?}; allowed: {}", names());
    };
    Ok(*service)
}

/// The service with this name, or all services.
pub fn services(name: Option<&str>) -> Result<Vec<Service>> {
    name.map_or_else(|| Ok(SERVICES.to_vec()), |name| Ok(vec![service(name)?]))
}

/// The definition of a service's domain.
pub fn domain(service: Service) -> Result<DomainDefinition> {
    gateway::domains()
        .into_iter()
        .find(|domain| domain.service == service)
        .with_context(|| format!("there is no service {service}"))
}

fn names() -> String {
    SERVICES.iter().map(|service| service.name()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_bus_that_cannot_be_reached_is_named_without_the_password_of_its_url() {
        let mut context = Context { config: Config::default(), format: Format::Text };
        context.config.nats.url = "nats://app:canary@127.0.0.1:1".to_owned();
        let error = format!("{:#}", context.bus().await.err().unwrap());
        assert!(error.contains("127.0.0.1:1") && !error.contains("canary"), "{error}");
    }
}
