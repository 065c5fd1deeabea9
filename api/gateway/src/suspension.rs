//! Which tenants are suspended: told by the directory at the start, and by the user service's log from then on.
//!
//! It reads the log itself, not the bus: to shut a tenant out must not need that the bus is well. Appends of this process wake
//! it; those of others it finds by looking twice a second.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use eventstore::EventStore;
use kernel::{Position, RecordedEvent, Refusal, TenantId};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::directory::Directory;

/// How often it looks, at least.
const LOOK: Duration = Duration::from_millis(400);
/// How many events it takes at once.
const BATCH: u32 = 1_000;

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

    /// Follows the log until `shutdown`.
    pub async fn follow(self, directory: Directory, store: EventStore, shutdown: CancellationToken) {
        let mut appended = store.appended();
        let mut at: Option<Position> = None;
        while !shutdown.is_cancelled() {
            match self.turn(&directory, &store, &mut at).await {
                // There may be more.
                Ok(true) => continue,
                Ok(false) => {}
                // Nothing can be changed meanwhile either; `/ready` says that the log is away.
                Err(reason) => tracing::debug!(%reason, "who is suspended can't be followed now"),
            }
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = tokio::time::sleep(LOOK) => {}
                changed = appended.changed() => if changed.is_err() { return },
            }
        }
    }

    async fn turn(&self, directory: &Directory, store: &EventStore, at: &mut Option<Position>) -> Result<bool, String> {
        let from = if let Some(from) = *at {
            from
        } else {
            // First where the log is, then who is suspended: what happens in between is seen twice, not never.
            let head = store.head().await.map_err(|error| error.to_string())?;
            let suspended = directory.suspended().await.map_err(|error| error.to_string())?;
            self.0.send_replace(suspended.into_iter().collect());
            *at.insert(head)
        };
        let events = store.read_after(from, BATCH).await.map_err(|error| error.to_string())?;
        for event in &events {
            self.note(event);
            *at = Some(event.position);
        }
        Ok(events.len() == BATCH as usize)
    }

    fn note(&self, event: &RecordedEvent) {
        self.0.send_if_modified(|suspended| match event.event_type.as_str() {
            "user.tenant.suspended" => suspended.insert(event.tenant),
            "user.tenant.resumed" => suspended.remove(&event.tenant),
            _ => false,
        });
    }
}
