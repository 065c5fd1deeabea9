//! Applies events of sessions and accounts to rows.

use auth_aggregates::{Account, AccountEvent, EndReason, SessionEvent};
use folding::change::{Change, decode};
use folding::fold::{Current, fold};
use folding::table::{self, Key};
use kernel::{Aggregate, RecordedEvent};
use projector::ApplyError;
use sqlx::PgConnection;
use sqlx::types::Json;

use super::row::{SessionRow, SessionsEndedRow};
use crate::places::{self, known};

/// Applies a batch of events of sessions and accounts.
pub(super) async fn apply(events: &[&RecordedEvent], tables: &mut PgConnection) -> Result<(), ApplyError> {
    let (of_accounts, of_sessions): (Vec<_>, Vec<_>) =
        events.iter().copied().partition(|event| event.aggregate_type == Account::TYPE);
    let changes = decode::<SessionEvent>(&of_sessions)?;
    let folded = fold::<SessionRow>(&changes, tables, |_, _| Ok(())).await?;
    table::upsert(&folded.after, tables).await?;
    table::upsert(&ended(&decode::<AccountEvent>(&of_accounts)?), tables).await?;
    places::forget("session", &of_accounts, tables).await
}

/// Removes addresses and user agents of the user whom an event erases, while the event is parked.
pub(super) async fn forget(event: &RecordedEvent, tables: &mut PgConnection) -> Result<(), ApplyError> {
    places::forget("session", &[event], tables).await
}

/// For each user the last event that ended all sessions. Only these events of an account are passed here, so its versions have gaps and the
/// rows are not made by [`fold`].
fn ended(changes: &[Change<'_, AccountEvent>]) -> Vec<SessionsEndedRow> {
    let mut rows: Vec<SessionsEndedRow> = Vec::new();
    for change in changes {
        let (at, reason, era) = match &change.event {
            AccountEvent::SessionsEnded(e) => (e.at, e.reason.clone(), e.era.map(i64::from)),
            AccountEvent::AccountClosed(e) => (e.at, "account_closed".to_owned(), Some(i64::MAX)),
            AccountEvent::AccountErased(e) => (e.at, "account_erased".to_owned(), Some(i64::MAX)),
            // The projection does not want other events.
            _ => continue,
        };
        let (tenant_id, user_id) = change.key;
        rows.retain(|row| (row.tenant_id, row.user_id) != change.key);
        rows.push(SessionsEndedRow { tenant_id, user_id, version: change.version, ended_at: at, reason, era });
    }
    rows
}

impl Current for SessionRow {
    type Event = SessionEvent;

    fn key(&self) -> Key {
        (self.tenant_id, self.session_id)
    }

    fn version(&self) -> i64 {
        self.version
    }

    fn begin(change: &Change<'_, SessionEvent>) -> Option<Self> {
        let SessionEvent::SessionStarted(started) = &change.event else { return None };
        let (tenant_id, session_id) = change.key;
        Some(Self {
            tenant_id,
            session_id,
            version: change.version,
            user_id: started.user.uuid(),
            methods: Json(started.methods.clone()),
            started_at: started.at,
            confirmed_at: started.shown_at(),
            used_at: started.at,
            expires_at: started.expires_at,
            address: known(started.place.address.as_ref()),
            agent: known(started.place.agent.as_ref()),
            ended_at: None,
            end_reason: None,
            era: started.era.map(i64::from),
        })
    }

    fn evolve(&mut self, change: &Change<'_, SessionEvent>) {
        self.version = change.version;
        match &change.event {
            // Occurs only at the beginning of a stream, where `begin` applies it.
            SessionEvent::SessionStarted(_) => {}
            SessionEvent::SessionConfirmed(e) => {
                self.confirmed_at = e.at;
                self.used_at = self.used_at.max(e.at);
                for method in &e.methods {
                    if !self.methods.0.contains(method) {
                        self.methods.0.push(method.clone());
                    }
                }
            }
            SessionEvent::SessionUsed(e) => self.used_at = self.used_at.max(e.at),
            SessionEvent::SessionEnded(e) => {
                self.ended_at = Some(change.occurred_at);
                let reason = match e.reason {
                    EndReason::SignedOut => "signed_out",
                    EndReason::Revoked => "revoked",
                };
                self.end_reason = Some(reason.to_owned());
            }
        }
    }
}
