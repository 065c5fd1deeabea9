//! Applies role events to rows.

use folding::as_of::End;
use folding::change::{Change, decode};
use folding::fold::{Current, fold};
use folding::history::History;
use folding::table::{self, Key};
use kernel::RecordedEvent;
use projector::ApplyError;
use sqlx::PgConnection;
use sqlx::types::Json;
use user_aggregates::RoleEvent;

use super::row::{RoleHistoryRow, RoleRow};

/// Applies a batch of role events.
pub(super) async fn apply(events: &[&RecordedEvent], tables: &mut PgConnection) -> Result<(), ApplyError> {
    let changes = decode::<RoleEvent>(events)?;
    let mut history = History::with_capacity(changes.len());
    let folded = fold::<RoleRow>(&changes, tables, |change, row| {
        history.add(change, version(change, row));
        Ok(())
    })
    .await?;
    table::upsert(&folded.after, tables).await?;
    Ok(history.write(tables).await?)
}

fn version(change: &Change<'_, RoleEvent>, row: &RoleRow) -> RoleHistoryRow {
    RoleHistoryRow {
        tenant_id: row.tenant_id,
        role_id: row.role_id,
        version: change.version,
        name: row.name.clone(),
        permissions: row.permissions.clone(),
        includes: row.includes.clone(),
        retired: row.retired,
        valid_from: change.occurred_at,
        valid_to: End(None),
        known_from: change.recorded_at,
        known_to: End(None),
    }
}

impl Current for RoleRow {
    type Event = RoleEvent;

    fn key(&self) -> Key {
        (self.tenant_id, self.role_id)
    }

    fn version(&self) -> i64 {
        self.version
    }

    fn begin(change: &Change<'_, RoleEvent>) -> Option<Self> {
        let RoleEvent::RoleDefined(defined) = &change.event else { return None };
        let (tenant_id, role_id) = change.key;
        Some(Self {
            tenant_id,
            role_id,
            version: change.version,
            name: defined.name.clone(),
            title: defined.title.clone(),
            permissions: Json(defined.permissions.iter().cloned().collect()),
            includes: Json(defined.includes.iter().cloned().collect()),
            retired: false,
            defined_at: change.occurred_at,
            changed_at: change.occurred_at,
        })
    }

    fn evolve(&mut self, change: &Change<'_, RoleEvent>) {
        self.version = change.version;
        self.changed_at = change.occurred_at;
        match &change.event {
            // Occurs only at the beginning of a stream.
            RoleEvent::RoleDefined(_) => {}
            RoleEvent::RoleChanged(e) => {
                self.title.clone_from(&e.title);
                self.permissions = Json(e.permissions.iter().cloned().collect());
                self.includes = Json(e.includes.iter().cloned().collect());
            }
            RoleEvent::RoleRetired(_) => self.retired = true,
        }
    }
}
