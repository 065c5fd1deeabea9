//! Applies events of domains to rows.

use folding::change::{Change, decode};
use folding::fold::{Current, fold};
use folding::table::{Key, upsert};
use kernel::RecordedEvent;
use projector::ApplyError;
use sqlx::PgConnection;
use user_aggregates::DomainEvent;

use super::row::DomainRow;

/// Applies a batch of events of domains.
pub(super) async fn apply(events: &[&RecordedEvent], tables: &mut PgConnection) -> Result<(), ApplyError> {
    let changes = decode::<DomainEvent>(events)?;
    let folded = fold::<DomainRow>(&changes, tables, |_, _| Ok(())).await?;
    Ok(upsert(&folded.after, tables).await?)
}

impl Current for DomainRow {
    type Event = DomainEvent;

    fn key(&self) -> Key {
        (self.tenant_id, self.domain_id)
    }

    fn version(&self) -> i64 {
        self.version
    }

    fn begin(change: &Change<'_, DomainEvent>) -> Option<Self> {
        let DomainEvent::DomainClaimed(claimed) = &change.event else { return None };
        let (tenant_id, domain_id) = change.key;
        Some(Self {
            tenant_id,
            domain_id,
            version: change.version,
            domain: claimed.domain.clone(),
            verified_at: None,
            missing_since: None,
            released: false,
            claimed_at: change.occurred_at,
            changed_at: change.occurred_at,
        })
    }

    fn evolve(&mut self, change: &Change<'_, DomainEvent>) {
        self.version = change.version;
        self.changed_at = change.occurred_at;
        match &change.event {
            // Occurs only at the beginning of a stream.
            DomainEvent::DomainClaimed(_) => {}
            DomainEvent::DomainVerified(_) => {
                (self.verified_at, self.missing_since) = (Some(change.occurred_at), None);
            }
            DomainEvent::DomainRecordMissing(_) => self.missing_since = Some(change.occurred_at),
            DomainEvent::DomainReleased(_) => self.released = true,
        }
    }
}
