//! Applies group events to rows and history.

use folding::as_of::End;
use folding::change::Change;
use folding::fold::Current;
use folding::history::Kept;
use folding::table::Key;
use kernel::composed;
use projector::ApplyError;
use sqlx::types::Json;
use user_aggregates::GroupEvent;

use super::row::{GroupHistoryRow, GroupRow};

impl Current for GroupRow {
    type Event = GroupEvent;

    fn key(&self) -> Key {
        (self.tenant_id, self.group_id)
    }

    fn version(&self) -> i64 {
        self.version
    }

    fn begin(change: &Change<'_, GroupEvent>) -> Option<Self> {
        let GroupEvent::GroupCreated(created) = &change.event else { return None };
        let (tenant_id, group_id) = change.key;
        Some(Self {
            tenant_id,
            group_id,
            version: change.version,
            name: composed(&created.name).into_owned(),
            external_id: None,
            roles: Json(created.roles.iter().cloned().collect()),
            dissolved: false,
            created_at: change.occurred_at,
            changed_at: change.occurred_at,
        })
    }

    fn evolve(&mut self, change: &Change<'_, GroupEvent>) {
        self.version = change.version;
        self.changed_at = change.occurred_at;
        match &change.event {
            // Occurs only at the beginning of a stream.
            GroupEvent::GroupCreated(_) => {}
            GroupEvent::GroupRenamed(e) => self.name = composed(&e.name).into_owned(),
            GroupEvent::GroupExternalIdChanged(e) => self.external_id.clone_from(&e.external_id),
            GroupEvent::GroupRoleGranted(e) => _ = self.roles.insert(e.role.clone()),
            GroupEvent::GroupRoleRevoked(e) => _ = self.roles.remove(&e.role),
            GroupEvent::GroupDissolved(_) => self.dissolved = true,
        }
    }
}

impl Kept for GroupRow {
    type Version = GroupHistoryRow;

    fn kept(&self, change: &Change<'_, GroupEvent>) -> Result<GroupHistoryRow, ApplyError> {
        Ok(GroupHistoryRow {
            tenant_id: self.tenant_id,
            group_id: self.group_id,
            version: change.version,
            roles: self.roles.clone(),
            dissolved: self.dissolved,
            valid_from: change.occurred_at,
            valid_to: End(None),
            known_from: change.recorded_at,
            known_to: End(None),
        })
    }
}
