//! Making a tenant, for whoever operates the platform: with the sagas of this program, with the adapters that are configured.

use config::Config;
use directory::Tenant;
use directory::lifecycle::{self, ProvisionError};

use crate::adapters::Adapters;
use crate::domains;

/// Makes a tenant: by the saga `provision_tenant`, which is run here unless a server runs it.
///
/// # Errors
/// When its short name is taken, something is wrong with it, or what it needs does not answer.
pub async fn provision(
    config: &Config,
    slug: &str,
    name: &str,
    owner: Option<String>,
) -> Result<Tenant, ProvisionError> {
    lifecycle::provision(config, slug, name, owner, |bus| {
        let adapters = Adapters::of(config, bus).map_err(|error| ProvisionError::Sagas(error.to_string()))?;
        // Mail that is to be looked at belongs to the server: there it can be.
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
