//! Applies denials to rows.

use auth_aggregates::{AccessEvent, Account};
use folding::change::{Change, decode};
use folding::fold::{Current, fold};
use folding::table::{self, Key};
use kernel::{Aggregate, RecordedEvent};
use projector::ApplyError;
use sqlx::PgConnection;

use super::row::DeniedAccessRow;
use crate::places::{self, known};

/// Applies a batch of denials, and of erasures of accounts.
pub(super) async fn apply(events: &[&RecordedEvent], tables: &mut PgConnection) -> Result<(), ApplyError> {
    let (of_accounts, denials): (Vec<_>, Vec<_>) =
        events.iter().copied().partition(|event| event.aggregate_type == Account::TYPE);
    let folded = fold::<DeniedAccessRow>(&decode::<AccessEvent>(&denials)?, tables, |_, _| Ok(())).await?;
    table::upsert(&folded.after, tables).await?;
    places::forget("denied_access", &of_accounts, tables).await
}

/// Removes addresses and user agents of the user whom an event erases, while the event is parked.
pub(super) async fn forget(event: &RecordedEvent, tables: &mut PgConnection) -> Result<(), ApplyError> {
    places::forget("denied_access", &[event], tables).await
}

impl Current for DeniedAccessRow {
    type Event = AccessEvent;

    fn key(&self) -> Key {
        (self.tenant_id, self.access_id)
    }

    fn version(&self) -> i64 {
        self.version
    }

    fn begin(change: &Change<'_, AccessEvent>) -> Option<Self> {
        let AccessEvent::AccessDenied(denied) = &change.event else { return None };
        let (tenant_id, access_id) = change.key;
        Some(Self {
            tenant_id,
            access_id,
            version: change.version,
            subject: denied.subject.clone(),
            user_id: denied.user.map(kernel::UserId::uuid),
            reason: denied.reason.clone(),
            permission: denied.permission.clone(),
            operation: denied.operation.clone(),
            request_id: denied.request,
            at: denied.at,
            times: 1,
            last_at: denied.at,
            address: known(denied.place.address.as_ref()),
            agent: known(denied.place.agent.as_ref()),
            origin: denied.origin.clone(),
        })
    }

    fn evolve(&mut self, change: &Change<'_, AccessEvent>) {
        self.version = change.version;
        match &change.event {
            // Occurs only at the beginning of a stream, where `begin` applies it.
            AccessEvent::AccessDenied(_) => {}
            AccessEvent::AccessDeniedAgain(e) => {
                self.times = i64::try_from(e.times).unwrap_or(i64::MAX);
                self.last_at = e.at;
            }
        }
    }
}
