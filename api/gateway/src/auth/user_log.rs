//! Follows the user service's log for changes of permissions and of the standing of tenants, on which authentication depends.
//!
//! It reads the log itself, not the bus, so that revocations take effect even if the bus is down. Appends of this process wake it;
//! appends of other processes are found by polling every 400 ms.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use auth_api::trust::ChangedIds;
use config::Config;
use directory::Directory;
use eventstore::{Closure, EventSlice, EventStore, Place};
use face::Runtime;
use kernel::{Clock, Grant, IdSource, RecordedEvent, TenantId};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use user_api::permission_resolver::{self, PermissionResolver};

use super::suspension::{self, Suspended};
use crate::domains::DomainDefinition;
use crate::server::StartError;
use crate::service::{Background, Written};

/// How often the log is polled.
const POLL_INTERVAL: Duration = Duration::from_millis(400);
/// How many events are read at once.
const BATCH: u32 = 1_000;
/// How often the directory is read again, because it may change later than the log.
const DIRECTORY_INTERVAL: Duration = Duration::from_secs(5);
/// How long a start waits for the log and the directory. Without them, tokens can't be checked anyway.
const START_TIMEOUT: Duration = Duration::from_secs(2);

/// The parts of the user service that authentication needs.
pub struct UserLog {
    /// The permissions of bearers.
    pub permission_resolver: PermissionResolver,
    /// The log of the user service, if it was opened only for this.
    pub store: Option<EventStore>,
}

/// Opens the user service's log and spawns its follower, which records changes that invalidate verified tokens in `changed_ids`, and
/// refused tenants in `suspended`. All logs of this process (those of the services `served`, those `opened` for other uses, and this one)
/// discard the keys of tenants that were deleted or moved to another cell.
pub async fn open(
    config: &Config,
    served: &[(DomainDefinition, Runtime)],
    grants: &[Grant],
    (changed_ids, suspended): (Arc<ChangedIds>, Suspended),
    (clock, ids): (Arc<dyn Clock>, Arc<dyn IdSource>),
    opened: &[EventStore],
    background: &Background,
) -> Result<UserLog, StartError> {
    let Written { store, executor, alone } =
        Written::open(config, user_api::SERVICE, served, clock, ids, &background.pools).await?;
    let served = served.iter().map(|(_, runtime)| runtime.store.clone());
    let mut follower = Follower {
        stores: served.chain(opened.iter().cloned()).chain([store.clone()]).collect(),
        shut: BTreeSet::new(),
        store: store.clone(),
        directory: background.pools.directory(config),
        suspended: suspended.clone(),
        changed_ids,
        at: None,
        set_back: false,
        directory_read: None,
        closed_read: None,
    };
    // Before the first token is verified, so that no later change is missed.
    let begun = async {
        while follower.poll().await? {}
        Ok::<_, String>(())
    };
    match tokio::time::timeout(START_TIMEOUT, begun).await {
        Ok(Ok(())) => {}
        Ok(Err(reason)) => tracing::warn!(%reason, "who is suspended is not known yet"),
        // Slow, as a first start may be. If something does not answer at all, the follower logs it.
        Err(_) => tracing::info!("who is suspended is not known yet; /ready says so until it is"),
    }
    // It goes on where it was if it panics and is started again.
    let follower = Arc::new(Mutex::new(follower));
    background.spawn("changes of permissions", move |shutdown| {
        let follower = Arc::clone(&follower);
        async move { follower.lock().await.run(shutdown).await }
    });
    Ok(UserLog { permission_resolver: PermissionResolver::new(executor, grants), store: alone.then_some(store) })
}

struct Follower {
    /// The log of the user service.
    store: EventStore,
    /// All logs of this process.
    stores: Vec<EventStore>,
    /// The deleted or moved tenants whose keys were discarded.
    shut: BTreeSet<TenantId>,
    directory: Directory,
    suspended: Suspended,
    changed_ids: Arc<ChangedIds>,
    /// The place up to which the log was read; none before the start, and when the log has lost its end.
    at: Option<Place>,
    /// Whether the log has lost its end since it was last begun to follow it.
    set_back: bool,
    /// When the directory was last read.
    directory_read: Option<Instant>,
    /// When the list of closed tenants was last read.
    closed_read: Option<Instant>,
}

impl Follower {
    async fn run(&mut self, shutdown: CancellationToken) {
        let mut appended = self.store.appended();
        let mut complained = false;
        while !shutdown.is_cancelled() {
            match self.poll().await {
                // There may be more events.
                Ok(true) => continue,
                Ok(false) => complained = false,
                Err(reason) => {
                    if !complained {
                        tracing::warn!(%reason, "who may do what, and who is suspended, can't be followed now");
                    }
                    complained = true;
                }
            }
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = tokio::time::sleep(POLL_INTERVAL) => {}
                changed = appended.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Reads and applies the next events. Returns whether there may be more.
    async fn poll(&mut self) -> Result<bool, String> {
        let from = match self.at {
            Some(from) => from,
            None => self.begin().await?,
        };
        if self.closed_read.is_none_or(|read| read.elapsed() >= POLL_INTERVAL) {
            let closed = self.store.closed().await.map_err(|error| error.to_string())?;
            let shut: Vec<_> = closed.into_iter().filter(|(_, closure)| !closure.reads()).collect();
            self.forget(shut.iter().map(|(tenant, _)| *tenant).collect());
            let (gone, away): (Vec<_>, Vec<_>) =
                shut.into_iter().partition(|(_, closure)| *closure == Closure::Deleted);
            let ids = |closed: Vec<(TenantId, Closure)>| closed.into_iter().map(|(tenant, _)| tenant).collect();
            self.suspended.note_closed(ids(away), ids(gone));
            self.closed_read = Some(Instant::now());
        }
        let slice = self.store.slice_from(from, BATCH).await.map_err(|error| error.to_string())?;
        let Some(EventSlice { events, more, .. }) = slice else {
            tracing::warn!(
                "the log of the user service lost events since this process read them; all tokens are verified again"
            );
            // The server that took over, or the backup, may lack the end of the others, too.
            self.stores.iter().for_each(EventStore::end_epoch);
            (self.at, self.set_back) = (None, true);
            return Ok(true);
        };
        let standing: Vec<_> = events.iter().filter(|event| Suspended::is_changed_by(event)).collect();
        self.note(&standing).await?;
        for event in &events {
            if let Some(id) = permission_resolver::changed_dependency(event) {
                self.changed_ids.record(id, Instant::now());
            }
            self.at = Some(Place::after(event));
        }
        if more {
            return Ok(true);
        }
        // After the log was read, because the log is ahead of the directory.
        if self.directory_read.is_none_or(|read| read.elapsed() >= DIRECTORY_INTERVAL) {
            self.suspended.read(&self.directory).await.map_err(|error| error.to_string())?;
            self.directory_read = Some(Instant::now());
        }
        Ok(false)
    }

    /// Discards the keys of tenants that were not closed before. A tenant is destroyed in the user service last, so by now there are no
    /// keys of it left that could be loaded again.
    fn forget(&mut self, shut: BTreeSet<TenantId>) {
        let news: BTreeSet<_> = shut.difference(&self.shut).copied().collect();
        if !news.is_empty() {
            self.stores.iter().for_each(|store| store.forget_tenants(&news));
        }
        self.shut = shut;
    }

    /// Applies the latest event of each tenant that changes its standing, however old, because the saga that updates the directory may be
    /// late. Returns the place from which the log is followed.
    async fn begin(&mut self) -> Result<Place, String> {
        let end = self.store.end().await.map_err(|error| error.to_string())?;
        let types = Suspended::event_types();
        let latest = self.store.last_of_tenants(suspension::TENANT_AGGREGATE, &types, end.position()).await;
        self.note(&latest.map_err(|error| error.to_string())?.iter().collect::<Vec<_>>()).await?;
        if std::mem::take(&mut self.set_back) {
            self.changed_ids.may_have_missed();
        }
        Ok(*self.at.insert(end))
    }

    /// Applies events that change the standing of their tenants.
    async fn note(&self, events: &[&RecordedEvent]) -> Result<(), String> {
        if events.is_empty() {
            return Ok(());
        }
        let tenants: Vec<_> = events.iter().map(|event| event.tenant.uuid()).collect();
        let copied = self.store.copied(&tenants).await.map_err(|error| error.to_string())?;
        // A tenant that was copied from another one does not take over its standing.
        for event in events.iter().filter(|event| !copied.is_of_another(event)) {
            self.suspended.note(event);
        }
        Ok(())
    }
}
