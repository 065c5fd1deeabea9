//! Applies group events to rows.

use folding::as_of::End;
use folding::change::{Change, decode};
use folding::fold::{Current, fold};
use folding::history::History;
use folding::table::{self, Key};
use kernel::{RecordedEvent, composed};
use projector::ApplyError;
use sqlx::PgConnection;
use sqlx::types::Json;
use user_aggregates::GroupEvent;

use super::row::{GroupHistoryRow, GroupRow};

/// Applies a batch of group events.
pub(super) async fn apply(events: &[&RecordedEvent], tables: &mut PgConnection) -> Result<(), ApplyError> {
    let changes = decode::<GroupEvent>(events)?;
    let mut history = History::with_capacity(changes.len());
    let folded = fold::<GroupRow>(&changes, tables, |change, row| {
        history.add(change, version(change, row));
        Ok(())
    })
    .await?;
    table::upsert(&folded.after, tables).await?;
    Ok(history.write(tables).await?)
}

fn version(change: &Change<'_, GroupEvent>, row: &GroupRow) -> GroupHistoryRow {
    GroupHistoryRow {
        tenant_id: row.tenant_id,
        group_id: row.group_id,
        version: change.version,
        roles: row.roles.clone(),
        dissolved: row.dissolved,
        valid_from: change.occurred_at,
        valid_to: End(None),
        known_from: change.recorded_at,
        known_to: End(None),
    }
}

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
