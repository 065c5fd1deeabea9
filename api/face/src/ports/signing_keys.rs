//! The port by which an operation has a tenant's signing key made: who makes one needs the master key, which only the composition root
//! hands out. The gateway hands the implementation of the auth service to its operations.

use async_trait::async_trait;
use executor::{Done, Request};
use kernel::{Refusal, TenantId};

/// Makes signing keys.
#[async_trait]
pub trait SigningKeys: Send + Sync {
    /// Publishes a new key of an algorithm for the caller's tenant. Answers its id.
    ///
    /// # Errors
    /// Without the permission `auth:key:write`, or when none can be made now.
    async fn rotate(&self, request: &Request, algorithm: &str) -> Result<Done<String>, Refusal>;

    /// Sees to it that a tenant has a key of an algorithm, before something is signed with it.
    ///
    /// # Errors
    /// When none can be made now.
    async fn prepare(&self, tenant: TenantId, algorithm: &str) -> Result<(), Refusal>;
}

/// Of a process in which none are made, such as one of a test.
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
