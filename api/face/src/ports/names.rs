//! The port by which services look at the domain name system, and at which tenant of the installation has shown that a domain is its own:
//! both are outside of any service. The gateway hands the implementation to all.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use kernel::TenantId;
use uuid::Uuid;

/// Looks at names, and keeps who has which.
#[async_trait]
pub trait Names: Send + Sync {
    /// The text records (TXT) of a name; none: there are none, or no such name. The strings of one record are put together.
    ///
    /// # Errors
    /// When no server tells it now.
    async fn texts(&self, name: &str) -> Result<Vec<String>, NamesError>;

    /// Notes that a tenant has shown, by what its record says, that a domain is its own. False: another tenant has, and its record is
    /// among those that are `shown`; who does not show it any more loses it to who does.
    ///
    /// # Errors
    /// When it can't be noted now.
    async fn hold(&self, held: &Hold<'_>, shown: &[Uuid]) -> Result<bool, NamesError>;

    /// Notes that a tenant does not have a domain any more; nothing happens if it has not by one of these records.
    ///
    /// # Errors
    /// When it can't be noted now.
    async fn give_back(&self, domain: &str, tenant: TenantId, proofs: &[Uuid]) -> Result<(), NamesError>;

    /// Whether somebody else may speak for the addresses of a domain in a tenant, as an identity provider does: always where the
    /// installation does not ask for more, else only if the tenant has shown that the domain is its own.
    ///
    /// # Errors
    /// When it can't be told now.
    async fn may_be_spoken_for(&self, domain: &str, tenant: TenantId) -> Result<bool, NamesError>;
}

/// Who has shown that a domain is their own.
#[derive(Clone, Copy, Debug)]
pub struct Hold<'h> {
    /// In the form of the domain name system.
    pub domain: &'h str,
    /// Which tenant.
    pub tenant: TenantId,
    /// What its record says.
    pub proof: Uuid,
    /// When.
    pub at: DateTime<Utc>,
}

/// It can't be told or noted now.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct NamesError(pub String);

/// Of a process that looks at no names, such as one of a test.
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

    async fn hold(&self, _: &Hold<'_>, _: &[Uuid]) -> Result<bool, NamesError> {
        Err(absent())
    }

    async fn give_back(&self, _: &str, _: TenantId, _: &[Uuid]) -> Result<(), NamesError> {
        Err(absent())
    }

    async fn may_be_spoken_for(&self, _: &str, _: TenantId) -> Result<bool, NamesError> {
        Ok(true)
    }
}
