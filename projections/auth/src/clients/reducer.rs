//! Applies events of applications to rows.

use auth_aggregates::{ClientDetails, ClientEvent};
use folding::change::{Change, decode};
use folding::fold::{Current, fold};
use folding::table::{self, Key};
use kernel::RecordedEvent;
use projector::ApplyError;
use sqlx::PgConnection;
use sqlx::types::Json;

use super::row::ClientRow;

/// Applies a batch of events of applications.
pub(super) async fn apply(events: &[&RecordedEvent], tables: &mut PgConnection) -> Result<(), ApplyError> {
    let changes = decode::<ClientEvent>(events)?;
    let folded = fold::<ClientRow>(&changes, tables, |_, _| Ok(())).await?;
    Ok(table::upsert(&folded.after, tables).await?)
}

impl ClientRow {
    fn be(&mut self, details: &ClientDetails) {
        self.name.clone_from(&details.name);
        self.confidential = details.confidential;
        self.trusted = details.trusted;
        self.redirect_uris = Json(details.redirect_uris.clone());
        self.keys = i64::try_from(details.keys.len()).unwrap_or(i64::MAX);
    }
}

impl Current for ClientRow {
    type Event = ClientEvent;

    fn key(&self) -> Key {
        (self.tenant_id, self.client_id)
    }

    fn version(&self) -> i64 {
        self.version
    }

    fn begin(change: &Change<'_, ClientEvent>) -> Option<Self> {
        let ClientEvent::ClientRegistered(registered) = &change.event else { return None };
        let (tenant_id, client_id) = change.key;
        let mut row = Self {
            tenant_id,
            client_id,
            version: change.version,
            name: String::new(),
            confidential: false,
            trusted: false,
            redirect_uris: Json(Vec::new()),
            has_secret: false,
            keys: 0,
            active: true,
            created_at: change.occurred_at,
            changed_at: change.occurred_at,
        };
        row.be(&registered.details);
        Some(row)
    }

    fn evolve(&mut self, change: &Change<'_, ClientEvent>) {
        self.version = change.version;
        match &change.event {
            // The first occurs only at the beginning of a stream, where `begin` applies it. A refused attempt changes nothing.
            ClientEvent::ClientRegistered(_) | ClientEvent::ClientRefused(_) => return,
            ClientEvent::ClientChanged(e) => self.be(&e.details),
            ClientEvent::ClientSecretSet(_) => self.has_secret = true,
            ClientEvent::ClientDeactivated(_) => self.active = false,
            ClientEvent::ClientReactivated(_) => self.active = true,
        }
        self.changed_at = change.occurred_at;
    }
}
