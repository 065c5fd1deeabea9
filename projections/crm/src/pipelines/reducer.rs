//! Applies pipeline events: each makes a version.

use crm_aggregates::{PipelineEvent, StageId};
use kernel::RecordedEvent;
use projector::ApplyError;
use sqlx::PgConnection;
use sqlx::types::Json;

use super::row::{PipelineRow, StageView};
use folding::as_of::End;
use folding::change::{Change, decode};
use folding::fold::{Current, fold};
use folding::history::History;
use folding::table::Key;

/// Applies a batch of pipeline events.
pub(super) async fn apply(events: &[&RecordedEvent], tables: &mut PgConnection) -> Result<(), ApplyError> {
    let changes = decode::<PipelineEvent>(events)?;
    let mut history = History::with_capacity(changes.len());
    fold::<PipelineRow>(&changes, tables, |change, row| {
        history.add(change, row.clone());
        Ok(())
    })
    .await?;
    Ok(history.write(tables).await?)
}

impl Current for PipelineRow {
    type Event = PipelineEvent;

    const CONDITION: &'static str = "AND t.known_to = 'infinity'";

    fn key(&self) -> Key {
        (self.tenant_id, self.pipeline_id)
    }

    fn version(&self) -> i64 {
        self.version
    }

    fn begin(change: &Change<'_, PipelineEvent>) -> Option<Self> {
        let PipelineEvent::PipelineCreated(created) = &change.event else { return None };
        let (tenant_id, pipeline_id) = change.key;
        Some(Self {
            tenant_id,
            pipeline_id,
            version: change.version,
            name: created.name.clone(),
            stages: Json(created.stages.iter().cloned().map(|stage| StageView { stage, retired: false }).collect()),
            valid_from: change.occurred_at,
            valid_to: End(None),
            known_from: change.recorded_at,
            known_to: End(None),
        })
    }

    fn evolve(&mut self, change: &Change<'_, PipelineEvent>) {
        self.version = change.version;
        (self.valid_from, self.valid_to) = (change.occurred_at, End(None));
        (self.known_from, self.known_to) = (change.recorded_at, End(None));
        let stages = &mut self.stages.0;
        match &change.event {
            // Occurs only at the beginning of a stream, where `begin` applies it.
            PipelineEvent::PipelineCreated(_) => {}
            PipelineEvent::PipelineRenamed(e) => self.name.clone_from(&e.name),
            PipelineEvent::PipelineStageAdded(e) => {
                let index = usize::try_from(e.index).unwrap_or(usize::MAX).min(stages.len());
                stages.insert(index, StageView { stage: e.stage.clone(), retired: false });
            }
            PipelineEvent::PipelineStageChanged(e) => {
                if let Some(view) = stage(stages, e.stage.id) {
                    view.stage.clone_from(&e.stage);
                }
            }
            PipelineEvent::PipelineStagesReordered(e) => {
                let index = |id: StageId| e.order.iter().position(|other| *other == id).unwrap_or(usize::MAX);
                stages.sort_by_key(|view| index(view.stage.id));
            }
            PipelineEvent::PipelineStageRetired(e) => {
                if let Some(view) = stage(stages, e.stage) {
                    view.retired = true;
                }
            }
            PipelineEvent::PipelineStageReactivated(e) => {
                if let Some(view) = stage(stages, e.stage) {
                    view.retired = false;
                }
            }
            PipelineEvent::PipelineStageRemoved(e) => stages.retain(|view| view.stage.id != e.stage),
        }
    }
}

fn stage(stages: &mut [StageView], id: StageId) -> Option<&mut StageView> {
    stages.iter_mut().find(|view| view.stage.id == id)
}
