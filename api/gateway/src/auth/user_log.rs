//! What the user service says of whoever comes with a token: what they may do, and whether their tenant is suspended.
//!
//! It is told by the log itself, not by the bus: to take somebody's rights away must not need that the bus is well. Appends of
//! this process wake it; those of others it finds by looking twice a second.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use auth_api::trust::Touched;
use config::Config;
use directory::Directory;
use eventstore::{Closure, EventSlice, EventStore};
use face::Runtime;
use kernel::{Clock, Grant, IdSource, Position, RecordedEvent, TenantId};
use tokio_util::sync::CancellationToken;
use user_api::bearers::{self, Bearers};

use super::suspension::{self, Suspended};
use crate::domains::DomainDefinition;
use crate::server::StartError;
use crate::service::{Background, Written};

/// How often it looks, at least.
const LOOK: Duration = Duration::from_millis(400);
/// How many events it takes at once.
const BATCH: u32 = 1_000;
/// How often the directory is asked again, for what it is told later than that.
const AGAIN: Duration = Duration::from_secs(5);
/// How long a start waits for the log and the directory. Where they are away, tokens can't be checked either.
const PATIENCE: Duration = Duration::from_secs(2);

/// What this process has of the user service.
pub struct UserLog {
    /// What bearers of tokens may do.
    pub bearers: Bearers,
    /// The log of the user service, where it is open for this alone.
    pub store: Option<EventStore>,
}

/// Opens it, and follows the log: what changes of what tokens rest on is noted in `touched`, and who is shut out in `suspended`. The keys of
/// who is shut out are forgotten by all logs of this process: those that are served, those `opened` for something else, and this one.
pub async fn open(
    config: &Config,
    served: &[(DomainDefinition, Runtime)],
    grants: &[Grant],
    (touched, suspended): (Arc<Touched>, Suspended),
    (clock, ids): (Arc<dyn Clock>, Arc<dyn IdSource>),
    opened: &[EventStore],
    background: &Background,
) -> Result<UserLog, StartError> {
    let Written { store, executor, alone } = Written::open(config, user_api::SERVICE, served, clock, ids).await?;
    let served = served.iter().map(|(_, runtime)| runtime.store.clone());
    let mut follower = Follower {
        stores: served.chain(opened.iter().cloned()).chain([store.clone()]).collect(),
        shut: BTreeSet::new(),
        store: store.clone(),
        directory: Directory::open(config),
        suspended: suspended.clone(),
        touched,
        at: None,
        asked: None,
        looked: None,
    };
    // Before the first token is looked at: what changes from then on is seen.
    let begun = async {
        while follower.turn().await? {}
        Ok::<_, String>(())
    };
    match tokio::time::timeout(PATIENCE, begun).await {
        Ok(Ok(())) => {}
        Ok(Err(reason)) => tracing::warn!(%reason, "who is suspended is not known yet"),
        // Slow, as a first start may be; what does not answer at all is said by who follows.
        Err(_) => tracing::info!("who is suspended is not known yet; /ready says so until it is"),
    }
    background.tasks.spawn(follower.run(background.shutdown.clone()));
    Ok(UserLog { bearers: Bearers::new(executor, grants), store: alone.then_some(store) })
}

struct Follower {
    /// The log of the user service.
    store: EventStore,
    /// All logs of this process.
    stores: Vec<EventStore>,
    /// Whose keys they have forgotten: who lives elsewhere, or is no more.
    shut: BTreeSet<TenantId>,
    directory: Directory,
    suspended: Suspended,
    touched: Arc<Touched>,
    at: Option<Position>,
    /// When the directory was asked.
    asked: Option<Instant>,
    /// When it was looked who lives elsewhere.
    looked: Option<Instant>,
}

impl Follower {
    async fn run(mut self, shutdown: CancellationToken) {
        let mut appended = self.store.appended();
        let mut complained = false;
        while !shutdown.is_cancelled() {
            match self.turn().await {
                // There may be more.
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
                () = tokio::time::sleep(LOOK) => {}
                changed = appended.changed() => if changed.is_err() { return },
            }
        }
    }

    async fn turn(&mut self) -> Result<bool, String> {
        let from = match self.at {
            Some(from) => from,
            None => self.begin().await?,
        };
        if self.looked.is_none_or(|looked| looked.elapsed() >= LOOK) {
            let closed = self.store.closed().await.map_err(|error| error.to_string())?;
            let shut: Vec<_> = closed.into_iter().filter(|(_, closure)| !closure.reads()).collect();
            self.forget(shut.iter().map(|(tenant, _)| *tenant).collect());
            let (gone, away): (Vec<_>, Vec<_>) =
                shut.into_iter().partition(|(_, closure)| *closure == Closure::Deleted);
            let ids = |closed: Vec<(TenantId, Closure)>| closed.into_iter().map(|(tenant, _)| tenant).collect();
            self.suspended.note_closed(ids(away), ids(gone));
            self.looked = Some(Instant::now());
        }
        let EventSlice { events, more, .. } =
            self.store.slice_after(from, BATCH).await.map_err(|error| error.to_string())?;
        let told: Vec<_> = events.iter().filter(|event| Suspended::is_told_by(event)).collect();
        self.note(&told).await?;
        for event in &events {
            if let Some(id) = bearers::touches(event) {
                self.touched.touch(id, Instant::now());
            }
            self.at = Some(event.position);
        }
        if more {
            return Ok(true);
        }
        // After the log: what the log says is later than what the directory does.
        if self.asked.is_none_or(|asked| asked.elapsed() >= AGAIN) {
            self.suspended.read(&self.directory).await.map_err(|error| error.to_string())?;
            self.asked = Some(Instant::now());
        }
        Ok(false)
    }

    /// Forgets the keys of those that were not shut out before. The user service is the last in which a tenant is destroyed, so there are
    /// none any more that might be looked up again.
    fn forget(&mut self, shut: BTreeSet<TenantId>) {
        let news: BTreeSet<_> = shut.difference(&self.shut).copied().collect();
        if !news.is_empty() {
            self.stores.iter().for_each(|store| store.forget_tenants(&news));
        }
        self.shut = shut;
    }

    /// Takes over what the log last said of each tenant, however long ago: the directory is told by a saga, which may be late. From there on
    /// the log is followed.
    async fn begin(&mut self) -> Result<Position, String> {
        let head = self.store.head().await.map_err(|error| error.to_string())?;
        let told = self.store.last_of_tenants(suspension::TOLD_IN, &Suspended::told_by(), head).await;
        self.note(&told.map_err(|error| error.to_string())?.iter().collect::<Vec<_>>()).await?;
        Ok(*self.at.insert(head))
    }

    /// Takes over what events say of how their tenants stand.
    async fn note(&self, told: &[&RecordedEvent]) -> Result<(), String> {
        if told.is_empty() {
            return Ok(());
        }
        let tenants: Vec<_> = told.iter().map(|event| event.tenant.uuid()).collect();
        let copied = self.store.copied(&tenants).await.map_err(|error| error.to_string())?;
        // How another tenant stood is nothing to its copy.
        for event in told.iter().filter(|event| !copied.is_of_another(event)) {
            self.suspended.note(event);
        }
        Ok(())
    }
}
