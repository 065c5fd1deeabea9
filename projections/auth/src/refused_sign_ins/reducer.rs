//! Applies refused sign-ins to rows.

use auth_aggregates::{Account, SignInEvent};
use folding::change::{Change, decode};
use folding::fold::{Current, fold};
use folding::table::{self, Key};
use kernel::{Aggregate, RecordedEvent};
use projector::ApplyError;
use sqlx::PgConnection;

use super::row::RefusedSignInRow;
use crate::places::{self, known};

/// Applies a batch of refused sign-ins, and of erasures of accounts.
pub(super) async fn apply(events: &[&RecordedEvent], tables: &mut PgConnection) -> Result<(), ApplyError> {
    let (of_accounts, attempts): (Vec<_>, Vec<_>) =
        events.iter().copied().partition(|event| event.aggregate_type == Account::TYPE);
    let folded = fold::<RefusedSignInRow>(&decode::<SignInEvent>(&attempts)?, tables, |_, _| Ok(())).await?;
    table::upsert(&folded.after, tables).await?;
    places::forget("refused_sign_in", &of_accounts, tables).await
}

/// Removes addresses and user agents of the user whom an event erases, while the event is parked.
pub(super) async fn forget(event: &RecordedEvent, tables: &mut PgConnection) -> Result<(), ApplyError> {
    places::forget("refused_sign_in", &[event], tables).await
}

impl Current for RefusedSignInRow {
    type Event = SignInEvent;

    fn key(&self) -> Key {
        (self.tenant_id, self.sign_in_id)
    }

    fn version(&self) -> i64 {
        self.version
    }

    fn begin(change: &Change<'_, SignInEvent>) -> Option<Self> {
        let SignInEvent::SignInRefused(refused) = &change.event;
        let (tenant_id, sign_in_id) = change.key;
        Some(Self {
            tenant_id,
            sign_in_id,
            version: change.version,
            user_id: refused.user.map(kernel::UserId::uuid),
            reason: refused.reason.clone(),
            at: change.occurred_at,
            address: known(refused.place.address.as_ref()),
            agent: known(refused.place.agent.as_ref()),
            origin: refused.origin.clone(),
        })
    }

    fn evolve(&mut self, change: &Change<'_, SignInEvent>) {
        // A stream has only one event, which `begin` applies.
        self.version = change.version;
    }
}
