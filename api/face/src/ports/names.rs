//! The port for DNS lookups, and for the record of which tenant of the installation has proved that it owns a domain. Both are outside of
//! any service. The gateway passes the implementation to all services.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use executor::DomainPolicy;
use kernel::{Refusal, TenantId};
use uuid::Uuid;

/// Looks up domain names, and records which tenant holds which domain.
#[async_trait]
pub trait Names: DomainPolicy {
    /// The text records (TXT) of a name; empty if it has none or does not exist. The strings of one record are concatenated.
    ///
    /// # Errors
    /// When no DNS server answers.
    async fn texts(&self, name: &str) -> Result<Vec<String>, NamesError>;

    /// Records that a tenant has proved, by a DNS record, that it owns a domain. `shown`: the proofs that are currently in the DNS. False:
    /// another tenant holds the domain, and its proof is still among `shown`. A holder whose proof is gone loses the domain to this one.
    ///
    /// # Errors
    /// When it can't be recorded at the moment.
    async fn record_owner(&self, owned: &DomainOwnership<'_>, shown: &[Uuid]) -> Result<bool, NamesError>;

    /// Records that a tenant no longer holds a domain. Does nothing unless it holds it by one of these proofs.
    ///
    /// # Errors
    /// When it can't be recorded at the moment.
    async fn release(&self, domain: &str, tenant: TenantId, proofs: &[Uuid]) -> Result<(), NamesError>;
}

/// A tenant's proven ownership of a domain.
#[derive(Clone, Copy, Debug)]
pub struct DomainOwnership<'d> {
    /// The domain, in its DNS form.
    pub domain: &'d str,
    /// The tenant that holds it.
    pub tenant: TenantId,
    /// The value in the tenant's DNS record.
    pub proof: Uuid,
    /// When it was proved.
    pub at: DateTime<Utc>,
}

/// A lookup or a change of the holder failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct NamesError(pub String);

/// An implementation whose lookups fail, for processes that need none, such as tests.
pub fn no_names() -> Arc<dyn Names> {
    Arc::new(Nobody)
}

struct Nobody;

fn absent() -> NamesError {
    NamesError("names are not looked at in this process".to_owned())
}

#[async_trait]
impl Names for Nobody {
    async fn texts(&self, _: &str) -> Result<Vec<String>, NamesError> {
        Err(absent())
    }

    async fn record_owner(&self, _: &DomainOwnership<'_>, _: &[Uuid]) -> Result<bool, NamesError> {
        Err(absent())
    }

    async fn release(&self, _: &str, _: TenantId, _: &[Uuid]) -> Result<(), NamesError> {
        Err(absent())
    }
}

#[async_trait]
impl DomainPolicy for Nobody {
    async fn may_be_asserted(&self, _: &str, _: TenantId) -> Result<bool, Refusal> {
        Ok(true)
    }
}
