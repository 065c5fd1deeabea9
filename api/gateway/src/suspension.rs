//! Which tenants are suspended: told by the directory at the start, and by the user service's log from then on (`people.rs`).

use std::collections::HashSet;
use std::sync::Arc;

use kernel::{RecordedEvent, Refusal, TenantId};
use tokio::sync::watch;

use crate::directory::{Directory, DirectoryError};

/// The tenants that are suspended. Cheap to clone.
#[derive(Clone, Default)]
pub struct Suspended(Arc<watch::Sender<HashSet<TenantId>>>);

impl Suspended {
    /// Refuses callers of a suspended tenant.
    pub fn check(&self, tenant: TenantId) -> Result<(), Refusal> {
        if self.0.borrow().contains(&tenant) {
            let detail = "the tenant is suspended; whoever operates the platform can say why, and resume it";
            return Err(Refusal::forbidden("tenant_suspended", detail));
        }
        Ok(())
    }

    /// Changes whenever a tenant is suspended or resumed: for who keeps a connection open.
    pub fn subscribe(&self) -> watch::Receiver<HashSet<TenantId>> {
        self.0.subscribe()
    }

    /// Takes over what the directory says.
    pub async fn read(&self, directory: &Directory) -> Result<(), DirectoryError> {
        self.0.send_replace(directory.suspended().await?.into_iter().collect());
        Ok(())
    }

    /// Takes over what an event says.
    pub fn note(&self, event: &RecordedEvent) {
        self.0.send_if_modified(|suspended| match event.event_type.as_str() {
            "user.tenant.suspended" => suspended.insert(event.tenant),
            "user.tenant.resumed" => suspended.remove(&event.tenant),
            _ => false,
        });
    }
}
