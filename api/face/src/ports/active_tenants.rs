//! The port that tells whether a tenant is active, for requests without a token. (For those with one the gateway asks.)

use std::sync::Arc;

use kernel::{Refusal, TenantId};

/// Which tenants are active here, as this process knows it: nothing is asked, nothing is waited for.
pub trait ActiveTenants: Send + Sync {
    /// Refuses a tenant that is suspended or deleted, or lives in another cell.
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

/// All tenants are active: for whoever serves nobody.
pub fn all_tenants_active() -> Arc<dyn ActiveTenants> {
    Arc::new(All)
}
