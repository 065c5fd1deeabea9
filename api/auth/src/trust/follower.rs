//! Follows the log of the auth service, so that this process knows at once of changes to grants, machines and keys.
//!
//! It reads the log itself, not the bus, so that ending somebody's access does not depend on the bus. Appends of this process wake it;
//! those of other processes it finds by polling every 400 ms.

use std::sync::Arc;
use std::time::{Duration, Instant};

use auth_aggregates::{Account, ApiKey, Client, Grant, KeyRing, Machine, Session};
use eventstore::{EventSlice, EventStore, Place};
use kernel::{Aggregate, RecordedEvent};
use tokio_util::sync::CancellationToken;

use super::ChangedIds;
use crate::authority::Authority;

/// The polling interval.
const LOOK: Duration = Duration::from_millis(400);

/// The most events per read.
const BATCH: u32 = 1_000;

/// Follows the log from where it is now, until `shutdown`.
pub async fn follow(
    store: EventStore,
    authority: Authority,
    changed_ids: Arc<ChangedIds>,
    shutdown: CancellationToken,
) {
    let mut appended = store.appended();
    let mut at: Option<Place> = None;
    while !shutdown.is_cancelled() {
        match turn(&store, &mut at, &authority, &changed_ids).await {
            // There may be more.
            Ok(true) => continue,
            Ok(false) => {}
            // Nothing can be revoked meanwhile either, and `/ready` reports that the log is unavailable.
            Err(error) => tracing::debug!(%error, "the log of the auth service can't be followed now"),
        }
        changed_ids.tidy(Instant::now());
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = tokio::time::sleep(LOOK) => {}
            changed = appended.changed() => if changed.is_err() { return },
        }
    }
}

async fn turn(
    store: &EventStore,
    at: &mut Option<Place>,
    authority: &Authority,
    changed_ids: &ChangedIds,
) -> Result<bool, eventstore::Error> {
    let from = if let Some(from) = *at {
        from
    } else {
        // Whatever was verified before this point has to be verified again.
        let end = *at.insert(store.end().await?);
        authority.forget_all();
        changed_ids.listen();
        end
    };
    let Some(EventSlice { events, more, .. }) = store.slice_from(from, BATCH).await? else {
        tracing::warn!(
            "the log of the auth service lost events since this process read them; all tokens are verified again"
        );
        *at = None;
        return Ok(true);
    };
    for event in &events {
        note(event, authority, changed_ids);
        *at = Some(Place::after(event));
    }
    Ok(more)
}

/// Notes what an event changes for cached tokens, whose validity depends on the event's aggregate.
fn note(event: &RecordedEvent, authority: &Authority, changed_ids: &ChangedIds) {
    let matters = match event.aggregate_type.as_str() {
        Machine::TYPE => event.event_type != "auth.machine.refused",
        ApiKey::TYPE => event.event_type == "auth.api_key.revoked",
        Client::TYPE => event.event_type != "auth.client.refused",
        Account::TYPE => [
            "auth.account.sessions_ended",
            "auth.account.closed",
            "auth.account.erased",
            "auth.account.consent_withdrawn",
        ]
        .contains(&event.event_type.as_str()),
        Session::TYPE => event.event_type == "auth.session.ended",
        Grant::TYPE => event.event_type == "auth.grant.revoked",
        KeyRing::TYPE => {
            authority.forget(event.tenant);
            event.event_type == "auth.key_ring.signing_key_retired"
        }
        _ => false,
    };
    if matters && let Ok(id) = event.aggregate_id.parse() {
        changed_ids.record(id, Instant::now());
    }
}
