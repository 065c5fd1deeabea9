//! Implements the port for DNS lookups and for the record of which tenant holds which domain.

mod resolver;

use async_trait::async_trait;
use config::Config;
use directory::{Directory, DirectoryError};
use executor::DomainPolicy;
use face::{DomainOwnership, Names, NamesError};
use kernel::{Refusal, TenantId};
use uuid::Uuid;

use self::resolver::Resolver;

/// Queries name servers, and records in the directory of tenants which tenant holds which domain.
pub struct DomainNames {
    resolver: Resolver,
    directory: Directory,
    verified_domains_only: bool,
}

impl DomainNames {
    /// Uses the configured name servers, and this directory.
    pub fn new(config: &Config, directory: Directory) -> Self {
        Self {
            resolver: Resolver::of(&config.names),
            directory,
            verified_domains_only: config.names.verified_domains_only,
        }
    }
}

fn by_the_directory(error: DirectoryError) -> NamesError {
    NamesError(error.to_string())
}

#[async_trait]
impl Names for DomainNames {
    async fn texts(&self, name: &str) -> Result<Vec<String>, NamesError> {
        self.resolver.texts(name).await.map_err(NamesError)
    }

    async fn record_owner(&self, owned: &DomainOwnership<'_>, shown: &[Uuid]) -> Result<bool, NamesError> {
        let DomainOwnership { domain, tenant, proof, at } = *owned;
        self.directory.hold(domain, (tenant, proof), shown, at).await.map_err(by_the_directory)
    }

    async fn release(&self, domain: &str, tenant: TenantId, proofs: &[Uuid]) -> Result<(), NamesError> {
        self.directory.release_domain(domain, tenant, proofs).await.map_err(by_the_directory)
    }
}

#[async_trait]
impl DomainPolicy for DomainNames {
    async fn may_be_asserted(&self, domain: &str, tenant: TenantId) -> Result<bool, Refusal> {
        if !self.verified_domains_only {
            return Ok(true);
        }
        // No tenant can hold an invalid domain name.
        let Ok(name) = user_commands::domain_name(domain) else { return Ok(false) };
        self.directory.holds(&name, tenant).await.map_err(|error| {
            tracing::warn!(%error, "the directory can't be queried for who holds a domain");
            Refusal::unavailable(
                "names_unavailable",
                "the directory of verified domains can't be queried now; try again",
            )
        })
    }
}
