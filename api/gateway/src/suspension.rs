//! Which tenants are suspended: told by the directory at the start, and by the user service's log from then on.
//!
//! It reads the log itself, not the bus: to shut a tenant out must not need that the bus is well. Appends of this process wake
//! it; those of others it finds by looking twice a second. The directory is told by a saga, so later than the log: a process that
//! starts in between reads the log from before its end, and asks the directory again and again.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use eventstore::EventStore;
use kernel::{Position, Refusal, TenantId};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::directory::Directory;

/// How often it looks, at least.
const LOOK: Duration = Duration::from_millis(400);
/// How many events it takes at once.
const BATCH: u32 = 1_000;
/// So far before the log's end it begins: the directory is told of what happens a moment after the log.
const BACK: u64 = 5_000;
/// How often the directory is asked again, for what it is told later than that.
const AGAIN: Duration = Duration::from_secs(5);

/// The tenants that are suspended; none while that is not known yet. Cheap to clone.
#[derive(Clone, Default)]
pub struct Suspended(Arc<watch::Sender<Option<HashSet<TenantId>>>>);

/// What following knows.
#[derive(Default)]
struct Following {
    /// Up to here the log was read.
    at: Option<Position>,
    /// What the log said of tenants, which is later than what the directory says.
    told: HashMap<TenantId, bool>,
    /// When the directory was asked.
    asked: Option<Instant>,
}

impl Suspended {
    /// Refuses callers of a suspended tenant.
    pub fn check(&self, tenant: TenantId) -> Result<(), Refusal> {
        if self.0.borrow().as_ref().is_some_and(|suspended| suspended.contains(&tenant)) {
            let detail = "the tenant is suspended; whoever operates the platform can say why, and resume it";
            return Err(Refusal::forbidden("tenant_suspended", detail));
        }
        Ok(())
    }

    /// Changes whenever a tenant is suspended or resumed: for who keeps a connection open.
    pub fn subscribe(&self) -> watch::Receiver<Option<HashSet<TenantId>>> {
        self.0.subscribe()
    }

    /// Whether it is known who is suspended.
    pub fn is_known(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// Returns when it is known who is suspended.
    pub async fn known(&self) {
        // It ends with us.
        let _ = self.subscribe().wait_for(Option::is_some).await;
    }

    /// Follows the log until `shutdown`.
    pub async fn follow(self, directory: Directory, store: EventStore, shutdown: CancellationToken) {
        let mut appended = store.appended();
        let mut following = Following::default();
        let mut complained = false;
        while !shutdown.is_cancelled() {
            match self.turn(&directory, &store, &mut following).await {
                // There may be more.
                Ok(true) => continue,
                Ok(false) => complained = false,
                Err(reason) => {
                    if !complained {
                        tracing::warn!(%reason, "who is suspended can't be followed now");
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

    /// Takes over what the log has, then, from time to time, what the directory says. Whether the log may have more.
    async fn turn(&self, directory: &Directory, store: &EventStore, following: &mut Following) -> Result<bool, String> {
        let from = if let Some(from) = following.at {
            from
        } else {
            let head = store.head().await.map_err(|error| error.to_string())?;
            *following.at.insert(Position(head.0.saturating_sub(BACK)))
        };
        let events = store.read_after(from, BATCH).await.map_err(|error| error.to_string())?;
        for event in &events {
            let suspended = match event.event_type.as_str() {
                "user.tenant.suspended" => Some(true),
                "user.tenant.resumed" => Some(false),
                _ => None,
            };
            if let Some(suspended) = suspended {
                following.told.insert(event.tenant, suspended);
                self.note(event.tenant, suspended);
            }
            following.at = Some(event.position);
        }
        if events.len() == BATCH as usize {
            return Ok(true);
        }
        if following.asked.is_none_or(|asked| asked.elapsed() >= AGAIN) {
            let listed = directory.suspended().await.map_err(|error| error.to_string())?;
            self.list(listed.into_iter().collect(), &following.told);
            following.asked = Some(Instant::now());
        }
        Ok(false)
    }

    /// What the log says of a tenant, once the others are known.
    fn note(&self, tenant: TenantId, suspended: bool) {
        self.0.send_if_modified(|known| match known {
            Some(known) if suspended => known.insert(tenant),
            Some(known) => known.remove(&tenant),
            None => false,
        });
    }

    /// What the directory says, but where the log knows better.
    fn list(&self, mut listed: HashSet<TenantId>, told: &HashMap<TenantId, bool>) {
        for (tenant, suspended) in told {
            if *suspended {
                listed.insert(*tenant);
            } else {
                listed.remove(tenant);
            }
        }
        self.0.send_if_modified(|known| {
            let news = known.as_ref() != Some(&listed);
            *known = Some(listed);
            news
        });
    }
}
