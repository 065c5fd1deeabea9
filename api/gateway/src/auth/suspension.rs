//! The tenants whose requests are refused: those placed in another cell or deleted, from the log's list of closed tenants; and those
//! suspended or marked for deletion, from the directory and from the user service's log, which is earlier (`user_log.rs`).
//!
//! A saga updates the directory later than the log, so an older state in the directory does not override the log.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use directory::{Directory, DirectoryError, TenantStanding};
use eventstore::SuspendedTenants;
use face::ActiveTenants;
use kernel::{RecordedEvent, Refusal, TenantId};
use tokio::sync::watch;

/// The type of the aggregate whose events change the standing of a tenant.
pub const TENANT_AGGREGATE: &str = "user.tenant";

/// The last event of a tenant.
const DELETED: &str = "user.tenant.deleted";

/// The tenants whose requests are refused. Cheap to clone.
#[derive(Clone, Default)]
pub struct Suspended(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// The suspended tenants; none until they were read for the first time.
    all: watch::Sender<Option<HashSet<TenantId>>>,
    /// Whether tenants are suspended according to the log, as far as it was read.
    from_log: Mutex<HashMap<TenantId, bool>>,
    /// Tenants that are placed in another cell, or not completely moved here yet.
    elsewhere: watch::Sender<HashSet<TenantId>>,
    /// Deleted tenants.
    deleted: watch::Sender<HashSet<TenantId>>,
}

/// The refusal for a tenant of another cell.
pub fn elsewhere() -> Refusal {
    let detail = "the tenant is in another cell or is being moved here; nothing was done: try again in a moment";
    Refusal::unavailable("tenant_elsewhere", detail)
}

impl ActiveTenants for Suspended {
    fn check(&self, tenant: TenantId) -> Result<(), Refusal> {
        if self.0.deleted.borrow().contains(&tenant) {
            return Err(Refusal::forbidden("tenant_deleted", "the tenant is deleted"));
        }
        // Only the tenant's own cell knows whether it is suspended: its log here may be an old copy.
        if self.0.elsewhere.borrow().contains(&tenant) {
            return Err(elsewhere());
        }
        if self.0.all.borrow().as_ref().is_some_and(|suspended| suspended.contains(&tenant)) {
            let detail =
                "the tenant is suspended, or is to be deleted; the operator of the platform can say why and undo it";
            return Err(Refusal::forbidden("tenant_suspended", detail));
        }
        Ok(())
    }
}

impl Suspended {
    /// Replaces the sets of tenants in other cells and of deleted tenants.
    pub fn note_closed(&self, elsewhere: HashSet<TenantId>, deleted: HashSet<TenantId>) {
        let note = |known: &watch::Sender<HashSet<TenantId>>, tenants: HashSet<TenantId>| {
            known.send_if_modified(|known| {
                let news = *known != tenants;
                *known = tenants;
                news
            })
        };
        let news = [note(&self.0.elsewhere, elsewhere), note(&self.0.deleted, deleted)];
        if news.contains(&true) {
            // Notifies open connections, which check their tenant again.
            self.0.all.send_modify(|_| {});
        }
    }

    /// Changes whenever the result of a check may change. For long-lived connections.
    pub fn subscribe(&self) -> watch::Receiver<Option<HashSet<TenantId>>> {
        self.0.all.subscribe()
    }

    /// The suspended tenants, for what works on by itself.
    pub fn tenants(&self) -> SuspendedTenants {
        SuspendedTenants::new(self.subscribe())
    }

    /// Whether the suspended tenants were read.
    pub fn is_known(&self) -> bool {
        self.0.all.borrow().is_some()
    }

    /// Reads the suspended tenants from the directory. What the log said about a tenant takes precedence.
    pub async fn read(&self, directory: &Directory) -> Result<(), DirectoryError> {
        let mut listed: HashSet<TenantId> = directory.suspended().await?.into_iter().collect();
        for (tenant, suspended) in self.0.from_log.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            if *suspended {
                listed.insert(*tenant);
            } else {
                listed.remove(tenant);
            }
        }
        self.0.all.send_if_modified(|all| {
            let news = all.as_ref() != Some(&listed);
            *all = Some(listed);
            news
        });
        Ok(())
    }

    /// The types of the events that change the standing of their tenant.
    pub fn event_types() -> Vec<&'static str> {
        TenantStanding::TOLD_BY.iter().copied().chain([DELETED]).collect()
    }

    /// Whether an event changes the standing of its tenant.
    pub fn is_changed_by(event: &RecordedEvent) -> bool {
        event.event_type == DELETED || TenantStanding::TOLD_BY.contains(&event.event_type.as_str())
    }

    /// Applies an event to the suspended tenants.
    pub fn note(&self, event: &RecordedEvent) {
        let suspended = event.event_type == DELETED
            || match TenantStanding::after(event) {
                Ok(None) => return,
                Ok(Some(standing)) => standing != TenantStanding::Active,
                // An event that can't be decoded counts as a suspension, to be safe.
                Err(_) => true,
            };
        self.0.from_log.lock().unwrap_or_else(PoisonError::into_inner).insert(event.tenant, suspended);
        self.0.all.send_if_modified(|all| match all {
            Some(all) if suspended => all.insert(event.tenant),
            Some(all) => all.remove(&event.tenant),
            None => false,
        });
    }
}
