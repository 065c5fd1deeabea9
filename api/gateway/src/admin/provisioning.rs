//! Provisions tenants for operators of the platform, with this program's sagas and the configured adapters.

use config::Config;
use directory::lifecycle::{self, ProvisionError};
use directory::{Tenant, check_both_keys};

use crate::adapters::Adapters;
use crate::domains::{self, DomainDefinition};
use crate::operations::Pools;

/// Provisions a tenant by the saga `provision_tenant`, which runs here unless a server runs it.
///
/// # Errors
/// When the short name is taken, an argument is invalid, the logs have other keys, or a dependency does not answer.
pub async fn provision(
    config: &Config,
    slug: &str,
    name: &str,
    owner: Option<String>,
) -> Result<Tenant, ProvisionError> {
    // The saga makes the tenant a key in each of these logs, which is too late to find out that the master key is another one.
    let sealed = domains::all().into_iter().filter(DomainDefinition::is_sealed);
    check_both_keys(config, &sealed.map(|domain| domain.service).collect::<Vec<_>>()).await?;
    lifecycle::provision(config, slug, name, owner, |bus| {
        let adapters =
            Adapters::of(config, bus, &Pools::default()).map_err(|error| ProvisionError::Sagas(error.to_string()))?;
        // Captured mail is shown by the server's own pages, so the server has to send it.
        let adapters = if adapters.caught.is_some() || adapters.caught_texts.is_some() {
            adapters.without_mail()
        } else {
            adapters
        };
        let mut domains = domains::all_with(&adapters).into_iter();
        Ok(domains.find(|domain| domain.service == user_api::SERVICE).and_then(|domain| domain.sagas))
    })
    .await
}
