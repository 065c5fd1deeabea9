//! Applies role events to rows and history.

use folding::as_of::End;
use folding::change::Change;
use folding::fold::Current;
use folding::history::Kept;
use folding::table::Key;
use projector::ApplyError;
use sqlx::types::Json;
use user_aggregates::RoleEvent;

use super::row::{RoleHistoryRow, RoleRow};

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

impl Kept for RoleRow {
    type Version = RoleHistoryRow;

    fn kept(&self, change: &Change<'_, RoleEvent>) -> Result<RoleHistoryRow, ApplyError> {
        Ok(RoleHistoryRow {
            tenant_id: self.tenant_id,
            role_id: self.role_id,
            version: change.version,
            name: self.name.clone(),
            permissions: self.permissions.clone(),
            includes: self.includes.clone(),
            retired: self.retired,
            valid_from: change.occurred_at,
            valid_to: End(None),
            known_from: change.recorded_at,
            known_to: End(None),
        })
    }
}
