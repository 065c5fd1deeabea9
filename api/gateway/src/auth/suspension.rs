//! Which tenants may not come in: those that live in another cell or are no more, as the log's own list says; and those that are suspended or
//! to be deleted, as the directory says and the user service's log, which knows it first (`user_log.rs`).
//!
//! The directory is told by a saga, so later than the log: what the log said is not taken back by what the directory still says.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use directory::{Directory, DirectoryError, TenantStanding};
use face::ActiveTenants;
use kernel::{RecordedEvent, Refusal, TenantId};
use tokio::sync::watch;

/// The aggregate in whose stream it is told how a tenant stands.
pub const TOLD_IN: &str = "user.tenant";

/// The last event of a tenant.
const DELETED: &str = "user.tenant.deleted";

/// The tenants that are suspended. Cheap to clone.
#[derive(Clone, Default)]
pub struct Suspended(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// None while that is not known yet.
    all: watch::Sender<Option<HashSet<TenantId>>>,
    /// What the log said of tenants.
    told: Mutex<HashMap<TenantId, bool>>,
    /// Tenants that live in another cell, or are not whole here yet.
    elsewhere: watch::Sender<HashSet<TenantId>>,
    /// Tenants that are no more.
    deleted: watch::Sender<HashSet<TenantId>>,
}

/// What is answered here for a tenant of another cell.
pub fn elsewhere() -> Refusal {
    let detail = "the tenant is in another cell or is being moved here; nothing was done: try again in a moment";
    Refusal::unavailable("tenant_elsewhere", detail)
}

impl ActiveTenants for Suspended {
    fn check(&self, tenant: TenantId) -> Result<(), Refusal> {
        if self.0.deleted.borrow().contains(&tenant) {
            return Err(Refusal::forbidden("tenant_deleted", "the tenant is deleted"));
        }
        // How it stands is said where it lives: the log here may end before that.
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
    /// Takes over who does not live here, and who is no more.
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
            // Connections that are kept open look again.
            self.0.all.send_modify(|_| {});
        }
    }

    /// Changes whenever a tenant is suspended or resumed: for who keeps a connection open.
    pub fn subscribe(&self) -> watch::Receiver<Option<HashSet<TenantId>>> {
        self.0.all.subscribe()
    }

    /// Whether it is known who is suspended.
    pub fn is_known(&self) -> bool {
        self.0.all.borrow().is_some()
    }

    /// Takes over what the directory says, but where the log knows better.
    pub async fn read(&self, directory: &Directory) -> Result<(), DirectoryError> {
        let mut listed: HashSet<TenantId> = directory.suspended().await?.into_iter().collect();
        for (tenant, suspended) in self.0.told.lock().unwrap_or_else(PoisonError::into_inner).iter() {
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

    /// The events that say how their tenant stands.
    pub fn told_by() -> Vec<&'static str> {
        TenantStanding::TOLD_BY.iter().copied().chain([DELETED]).collect()
    }

    /// Whether an event says how its tenant stands.
    pub fn is_told_by(event: &RecordedEvent) -> bool {
        event.event_type == DELETED || TenantStanding::TOLD_BY.contains(&event.event_type.as_str())
    }

    /// Takes over what an event says.
    pub fn note(&self, event: &RecordedEvent) {
        let suspended = event.event_type == DELETED
            || match TenantStanding::after(event) {
                Ok(None) => return,
                Ok(Some(standing)) => standing != TenantStanding::Active,
                // By what can't be read nobody is let in.
                Err(_) => true,
            };
        self.0.told.lock().unwrap_or_else(PoisonError::into_inner).insert(event.tenant, suspended);
        self.0.all.send_if_modified(|all| match all {
            Some(all) if suspended => all.insert(event.tenant),
            Some(all) => all.remove(&event.tenant),
            None => false,
        });
    }
}
