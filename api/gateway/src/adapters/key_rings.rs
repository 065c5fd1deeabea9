//! Creates and closes the signing keys of tenants that are provisioned or deleted, by commands on the auth service's log, wherever that
//! service runs.

use std::fmt::Display;

use auth_api::authority::open_ring;
use auth_commands::{CloseKeyRing, protocol};
use config::Config;
use directory::{KeyRings, ResourceError, write_side};
use futures::future::BoxFuture;
use kernel::{Clock, SystemClock, TenantId};
use keys::SystemRandom;

/// The key rings of tenants in the auth service.
pub struct AuthKeyRings {
    config: Config,
}

impl AuthKeyRings {
    /// Uses the databases and the master key of this configuration.
    pub const fn new(config: Config) -> Self {
        Self { config }
    }

    async fn keys(&self, tenant: TenantId, wanted: bool) -> Result<(), ResourceError> {
        let transient = |error: &dyn Display| ResourceError::Transient(format!("the tenant's keys: {error}"));
        let (store, executor) = write_side(&self.config, auth_api::SERVICE).await.map_err(|error| transient(&error))?;
        let done = if wanted {
            open_ring(&executor, &SystemRandom, SystemClock.now(), tenant).await
        } else {
            executor.run(&protocol(tenant, "auth"), &CloseKeyRing).await.map(drop)
        };
        store.close().await;
        done.map_err(|refusal| transient(&refusal))
    }
}

impl KeyRings for AuthKeyRings {
    fn make(&self, tenant: TenantId) -> BoxFuture<'_, Result<(), ResourceError>> {
        Box::pin(self.keys(tenant, true))
    }

    fn close(&self, tenant: TenantId) -> BoxFuture<'_, Result<(), ResourceError>> {
        Box::pin(self.keys(tenant, false))
    }
}
