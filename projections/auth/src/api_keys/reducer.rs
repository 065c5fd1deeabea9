//! Applies API key events to rows.

use auth_aggregates::ApiKeyEvent;
use folding::change::{Change, decode};
use folding::fold::{Current, fold};
use folding::named::Named;
use folding::table::{self, Key};
use kernel::RecordedEvent;
use projector::ApplyError;
use sqlx::PgConnection;
use sqlx::types::Json;

use super::row::ApiKeyRow;

/// Applies a batch of API key events.
pub(super) async fn apply(events: &[&RecordedEvent], tables: &mut PgConnection) -> Result<(), ApplyError> {
    let changes = decode::<ApiKeyEvent>(events)?;
    let folded = fold::<ApiKeyRow>(&changes, tables, |_, _| Ok(())).await?;
    Ok(table::upsert(&folded.after, tables).await?)
}

impl Current for ApiKeyRow {
    type Event = ApiKeyEvent;

    fn key(&self) -> Key {
        (self.tenant_id, self.api_key_id)
    }

    fn version(&self) -> i64 {
        self.version
    }

    fn begin(change: &Change<'_, ApiKeyEvent>) -> Option<Self> {
        let ApiKeyEvent::ApiKeyIssued(issued) = &change.event else { return None };
        let (tenant_id, api_key_id) = change.key;
        Some(Self {
            tenant_id,
            api_key_id,
            version: change.version,
            machine_id: issued.machine.uuid(),
            name: issued.name.clone(),
            scopes: Json(issued.scopes.clone()),
            expires_at: issued.expires_at,
            last_used_at: None,
            last_refused_at: None,
            last_refusal: None,
            revoked_at: None,
            created_at: change.occurred_at,
        })
    }

    fn evolve(&mut self, change: &Change<'_, ApiKeyEvent>) {
        self.version = change.version;
        match &change.event {
            // Occurs only at the beginning of a stream, where `begin` applies it.
            ApiKeyEvent::ApiKeyIssued(_) => {}
            ApiKeyEvent::ApiKeyUsed(e) => self.last_used_at = Some(e.at),
            ApiKeyEvent::ApiKeyRefused(e) => {
                self.last_refused_at = Some(e.at);
                self.last_refusal = Some(Named(e.reason));
            }
            ApiKeyEvent::ApiKeyRevoked(_) => self.revoked_at = Some(change.occurred_at),
        }
    }
}
