//! Applies machine events to rows.

use auth_aggregates::MachineEvent;
use folding::change::{Change, decode};
use folding::fold::{Current, fold};
use folding::table::{self, Key};
use kernel::RecordedEvent;
use projector::ApplyError;
use sqlx::PgConnection;
use sqlx::types::Json;

use super::row::MachineRow;

/// Applies a batch of machine events.
pub(super) async fn apply(events: &[&RecordedEvent], tables: &mut PgConnection) -> Result<(), ApplyError> {
    let changes = decode::<MachineEvent>(events)?;
    let folded = fold::<MachineRow>(&changes, tables, |_, _| Ok(())).await?;
    Ok(table::upsert(&folded.after, tables).await?)
}

impl Current for MachineRow {
    type Event = MachineEvent;

    fn key(&self) -> Key {
        (self.tenant_id, self.machine_id)
    }

    fn version(&self) -> i64 {
        self.version
    }

    fn begin(change: &Change<'_, MachineEvent>) -> Option<Self> {
        let MachineEvent::MachineRegistered(registered) = &change.event else { return None };
        let (tenant_id, machine_id) = change.key;
        Some(Self {
            tenant_id,
            machine_id,
            version: change.version,
            name: registered.name.clone(),
            roles: Json(registered.roles.clone()),
            has_secret: false,
            keys: 0,
            active: true,
            created_at: change.occurred_at,
            changed_at: change.occurred_at,
        })
    }

    fn evolve(&mut self, change: &Change<'_, MachineEvent>) {
        self.version = change.version;
        match &change.event {
            // The first occurs only at the beginning of a stream, where `begin` applies it. A refused attempt changes nothing.
            MachineEvent::MachineRegistered(_) | MachineEvent::MachineRefused(_) => return,
            MachineEvent::MachineChanged(e) => {
                self.name.clone_from(&e.name);
                self.roles = Json(e.roles.clone());
            }
            MachineEvent::MachineSecretSet(_) => self.has_secret = true,
            MachineEvent::MachineKeysSet(e) => self.keys = i64::try_from(e.keys.len()).unwrap_or(i64::MAX),
            MachineEvent::MachineDeactivated(_) => self.active = false,
            MachineEvent::MachineReactivated(_) => self.active = true,
        }
        self.changed_at = change.occurred_at;
    }
}
