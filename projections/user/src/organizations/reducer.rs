//! Applies events of organizations to rows.

use folding::change::{Change, decode};
use folding::fold::{Current, fold};
use folding::table::{Key, upsert};
use kernel::RecordedEvent;
use projector::ApplyError;
use sqlx::PgConnection;
use user_aggregates::{OrganizationEvent, OrganizationId};

use super::row::OrganizationRow;

/// Applies a batch of events of organizations.
pub(super) async fn apply(events: &[&RecordedEvent], tables: &mut PgConnection) -> Result<(), ApplyError> {
    let changes = decode::<OrganizationEvent>(events)?;
    let folded = fold::<OrganizationRow>(&changes, tables, |_, _| Ok(())).await?;
    Ok(upsert(&folded.after, tables).await?)
}

impl Current for OrganizationRow {
    type Event = OrganizationEvent;

    fn key(&self) -> Key {
        (self.tenant_id, self.organization_id)
    }

    fn version(&self) -> i64 {
        self.version
    }

    fn begin(change: &Change<'_, OrganizationEvent>) -> Option<Self> {
        let OrganizationEvent::OrganizationCreated(created) = &change.event else { return None };
        let (tenant_id, organization_id) = change.key;
        Some(Self {
            tenant_id,
            organization_id,
            version: change.version,
            name: created.name.clone(),
            parent_id: created.parent.map(OrganizationId::uuid),
            closed: false,
            created_at: change.occurred_at,
            changed_at: change.occurred_at,
        })
    }

    fn evolve(&mut self, change: &Change<'_, OrganizationEvent>) {
        self.version = change.version;
        self.changed_at = change.occurred_at;
        match &change.event {
            // Occurs only at the beginning of a stream.
            OrganizationEvent::OrganizationCreated(_) => {}
            OrganizationEvent::OrganizationRenamed(e) => self.name.clone_from(&e.name),
            OrganizationEvent::OrganizationClosed(_) => self.closed = true,
        }
    }
}
