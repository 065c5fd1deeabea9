//! Applies events of SAML connections to rows.

use auth_aggregates::{SamlConnectionDetails, SamlConnectionEvent};
use folding::change::{Change, decode};
use folding::fold::{Current, fold};
use folding::table::{self, Key};
use kernel::RecordedEvent;
use projector::ApplyError;
use sqlx::PgConnection;
use sqlx::types::Json;

use super::row::SamlConnectionRow;

/// Applies a batch of events of SAML connections.
pub(super) async fn apply(events: &[&RecordedEvent], tables: &mut PgConnection) -> Result<(), ApplyError> {
    let changes = decode::<SamlConnectionEvent>(events)?;
    let folded = fold::<SamlConnectionRow>(&changes, tables, |_, _| Ok(())).await?;
    Ok(table::upsert(&folded.after, tables).await?)
}

impl SamlConnectionRow {
    fn show(&mut self, details: &SamlConnectionDetails) {
        self.name.clone_from(&details.name);
        self.entity_id.clone_from(&details.provider.entity_id);
        self.domains = Json(details.domains.clone());
    }
}

impl Current for SamlConnectionRow {
    type Event = SamlConnectionEvent;

    fn key(&self) -> Key {
        (self.tenant_id, self.connection_id)
    }

    fn version(&self) -> i64 {
        self.version
    }

    fn begin(change: &Change<'_, SamlConnectionEvent>) -> Option<Self> {
        let SamlConnectionEvent::SamlConnectionCreated(created) = &change.event else { return None };
        let (tenant_id, connection_id) = change.key;
        let mut row = Self {
            tenant_id,
            connection_id,
            version: change.version,
            name: String::new(),
            entity_id: String::new(),
            domains: Json(Vec::new()),
            active: true,
            created_at: change.occurred_at,
            changed_at: change.occurred_at,
        };
        row.show(&created.details);
        Some(row)
    }

    fn evolve(&mut self, change: &Change<'_, SamlConnectionEvent>) {
        self.version = change.version;
        match &change.event {
            // Occurs only at the beginning of a stream, where `begin` applies it.
            SamlConnectionEvent::SamlConnectionCreated(_) => return,
            SamlConnectionEvent::SamlConnectionChanged(e) => self.show(&e.details),
            SamlConnectionEvent::SamlConnectionDeactivated(_) => self.active = false,
            SamlConnectionEvent::SamlConnectionReactivated(_) => self.active = true,
        }
        self.changed_at = change.occurred_at;
    }
}
