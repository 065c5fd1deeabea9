//! The port that tells whether a tenant is active, for requests without a token. (For requests with a token, the gateway checks it.)

use std::sync::Arc;

use kernel::{Refusal, TenantId};

/// The active tenants of this cell, from this process's memory: a check makes no network request.
pub trait ActiveTenants: Send + Sync {
    /// Refuses a tenant that is suspended or deleted, or placed in another cell.
    ///
    /// # Errors
    /// `tenant_suspended`, `tenant_deleted` or `tenant_elsewhere`.
    fn check(&self, tenant: TenantId) -> Result<(), Refusal>;
}

/// All tenants are active.
struct All;

impl ActiveTenants for All {
    fn check(&self, _: TenantId) -> Result<(), Refusal> {
        Ok(())
    }
}

/// An implementation for which all tenants are active, for processes that serve no tenants' requests.
pub fn all_tenants_active() -> Arc<dyn ActiveTenants> {
    Arc::new(All)
}
