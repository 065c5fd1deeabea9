//! The port through which a service asks of which e-mail domains a third party may assert addresses. The gateway implements it, from the
//! directory of verified domains.
//!
//! As with [`Permissions`](crate::Permissions), a command asks on each run, because its append can't check the answer.

use async_trait::async_trait;
use kernel::{Refusal, TenantId};

/// Decides of which e-mail domains a third party, such as an identity provider, may assert addresses.
#[async_trait]
pub trait DomainPolicy: Send + Sync {
    /// Whether addresses of a domain may be asserted in a tenant: always, unless the installation requires proof; then only if the tenant
    /// holds the domain.
    ///
    /// # Errors
    /// If the directory can't be queried now.
    async fn may_be_asserted(&self, domain: &str, tenant: TenantId) -> Result<bool, Refusal>;
}
