//! The port by which operations create a tenant's signing keys. Creating one needs the master key, which only the composition root has.
//! The gateway passes the auth service's implementation to its operations.

use async_trait::async_trait;
use executor::{Done, Request};
use kernel::{Refusal, TenantId};

/// Creates signing keys.
#[async_trait]
pub trait SigningKeys: Send + Sync {
    /// Creates and publishes a new key of an algorithm for the caller's tenant. Returns its id.
    ///
    /// # Errors
    /// Without the permission `auth:key:write`, or when no key can be created at the moment.
    async fn rotate(&self, request: &Request, algorithm: &str) -> Result<Done<String>, Refusal>;

    /// Ensures that a tenant has a key of an algorithm, before something is signed with it.
    ///
    /// # Errors
    /// When no key can be created at the moment.
    async fn prepare(&self, tenant: TenantId, algorithm: &str) -> Result<(), Refusal>;
}

/// An implementation that always fails, for processes that create no keys, such as tests.
pub struct NoSigningKeys;

#[async_trait]
impl SigningKeys for NoSigningKeys {
    async fn rotate(&self, _: &Request, _: &str) -> Result<Done<String>, Refusal> {
        Err(unavailable())
    }

    async fn prepare(&self, _: TenantId, _: &str) -> Result<(), Refusal> {
        Err(unavailable())
    }
}

fn unavailable() -> Refusal {
    Refusal::unavailable("signing_unavailable", "no keys are made by this process")
}
