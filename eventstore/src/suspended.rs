//! Suspended tenants, for what works on by itself: their jobs and webhooks wait until they are admitted again.

use std::collections::HashSet;

use kernel::TenantId;
use tokio::sync::watch;
use uuid::Uuid;

/// The tenants that are suspended or to be deleted; `None` as long as they are not known. Cheap to clone.
#[derive(Clone)]
pub struct SuspendedTenants(watch::Receiver<Option<HashSet<TenantId>>>);

impl SuspendedTenants {
    /// These, as they change.
    pub fn new(tenants: watch::Receiver<Option<HashSet<TenantId>>>) -> Self {
        Self(tenants)
    }

    /// Nobody, for ever.
    pub fn nobody() -> Self {
        let (_, nobody) = watch::channel(Some(HashSet::new()));
        Self(nobody)
    }

    /// Whether a tenant is among them, or may be.
    pub fn contains(&self, tenant: TenantId) -> bool {
        self.0.borrow().as_ref().is_none_or(|suspended| suspended.contains(&tenant))
    }

    /// Their ids; `None` as long as they are not known.
    pub fn ids(&self) -> Option<Vec<Uuid>> {
        self.0.borrow().as_ref().map(|suspended| suspended.iter().map(|tenant| tenant.uuid()).collect())
    }

    /// Completes when they change, and never if they can't change any more.
    pub async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
