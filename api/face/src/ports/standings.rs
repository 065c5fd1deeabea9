//! The port by which it is asked how it stands with a tenant, where no token says whose request it is: tokens are looked at by the gateway.

use std::sync::Arc;

use kernel::{Refusal, TenantId};

/// How it stands with tenants, as this process knows it: nothing is asked, nothing is waited for.
pub trait Standings: Send + Sync {
    /// Refuses a tenant that is suspended or deleted, or lives in another cell.
    ///
    /// # Errors
    /// `tenant_suspended`, `tenant_deleted` or `tenant_elsewhere`.
    fn check(&self, tenant: TenantId) -> Result<(), Refusal>;
}

/// All may come in.
struct Open;

impl Standings for Open {
    fn check(&self, _: TenantId) -> Result<(), Refusal> {
        Ok(())
    }
}

/// All tenants may come in: for whoever serves nobody.
pub fn all_stand() -> Arc<dyn Standings> {
    Arc::new(Open)
}
