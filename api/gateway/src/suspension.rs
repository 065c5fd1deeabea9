//! Which tenants are suspended: told by the directory at the start, and by the user service's log from then on (`people.rs`).

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock};

use kernel::{RecordedEvent, Refusal, TenantId};

use crate::directory::{Directory, DirectoryError};

/// The tenants that are suspended. Cheap to clone.
#[derive(Clone, Default)]
pub struct Suspended(Arc<RwLock<HashSet<TenantId>>>);

impl Suspended {
    /// Refuses callers of a suspended tenant.
    pub fn check(&self, tenant: TenantId) -> Result<(), Refusal> {
        if self.0.read().unwrap_or_else(PoisonError::into_inner).contains(&tenant) {
            let detail = "the tenant is suspended; whoever operates the platform can say why, and resume it";
            return Err(Refusal::forbidden("tenant_suspended", detail));
        }
        Ok(())
    }

    /// Takes over what the directory says.
    pub async fn read(&self, directory: &Directory) -> Result<(), DirectoryError> {
        let suspended = directory.suspended().await?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = suspended.into_iter().collect();
        Ok(())
    }

    /// Takes over what an event says.
    pub fn note(&self, event: &RecordedEvent) {
        match event.event_type.as_str() {
            "user.tenant.suspended" => {
                self.0.write().unwrap_or_else(PoisonError::into_inner).insert(event.tenant);
            }
            "user.tenant.resumed" => {
                self.0.write().unwrap_or_else(PoisonError::into_inner).remove(&event.tenant);
            }
            _ => {}
        }
    }
}
