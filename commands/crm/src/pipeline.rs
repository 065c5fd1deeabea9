//! The commands of pipelines.

use crm_aggregates::{Pipeline, PipelineCommand, PipelineId, Stage, StageId};
use executor::{ClaimKind, Command, Work};
use kernel::{Checks, Refusal};
use serde::{Deserialize, Serialize};

use crate::stage::{close, reopen, require_unused};
use crate::values;

/// Claims on the names of pipelines, which are unique in a tenant regardless of case.
pub(crate) static NAME: ClaimKind = ClaimKind {
    name: "crm.pipeline.name",
    code: "pipeline_name_taken",
    detail: "another pipeline (holder) has this name; choose another name",
};

/// The details of a stage as sent; validated when the command runs.
#[derive(Clone, Debug, Default)]
pub struct StageFields {
    /// Unique in its pipeline.
    pub name: String,
    /// The probability of winning, 0 to 100 per cent.
    pub probability: u8,
    /// Days after which an opportunity in the stage counts as rotten, 1 to 3650; `None`: never.
    pub rotten_after_days: Option<u16>,
}

impl StageFields {
    /// `at`: JSON pointer to the stage, without a slash at its end.
    fn check(&self, checks: &mut Checks, at: &str, id: StageId) -> Stage {
        let name = checks.line(&format!("{at}/name"), &self.name, values::NAME);
        if self.probability > 100 {
            checks.refuse(format!("{at}/probability"), "probability", "allowed are 0 to 100 per cent");
        }
        if self.rotten_after_days.is_some_and(|days| !(1..=3650).contains(&days)) {
            checks.refuse(format!("{at}/rotten_after_days"), "rotten_after_days", "allowed are 1 to 3650 days");
        }
        Stage { id, name, probability: self.probability, rotten_after_days: self.rotten_after_days }
    }
}

/// Creates a pipeline.
#[derive(Clone, Debug, Default)]
pub struct CreatePipeline {
    /// Unique in the tenant.
    pub name: String,
    /// The stages in order; 1 to 50.
    pub stages: Vec<StageFields>,
}

/// The identifiers of a new pipeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelineIds {
    pub pipeline: PipelineId,
    /// The ids of the stages, in their order.
    pub stages: Vec<StageId>,
}

/// Renames a pipeline.
#[derive(Clone, Debug)]
pub struct RenamePipeline {
    pub pipeline: PipelineId,
    pub name: String,
}

/// Adds a stage.
#[derive(Clone, Debug)]
pub struct AddStage {
    pub pipeline: PipelineId,
    /// The index at which it is inserted; 0: first; `None`: last.
    pub index: Option<u32>,
    pub stage: StageFields,
}

/// Replaces all details of a stage.
#[derive(Clone, Debug)]
pub struct ChangeStage {
    pub pipeline: PipelineId,
    pub stage: StageId,
    pub fields: StageFields,
}

/// Reorders the stages. The list must contain all of them, each once.
#[derive(Clone, Debug)]
pub struct ReorderStages {
    pub pipeline: PipelineId,
    pub order: Vec<StageId>,
}

/// Retires a stage: opportunities can't move into it any more, but those in it stay.
#[derive(Clone, Debug)]
pub struct RetireStage {
    pub pipeline: PipelineId,
    pub stage: StageId,
}

/// Reactivates a retired stage: opportunities can move into it again.
#[derive(Clone, Debug)]
pub struct ReactivateStage {
    pub pipeline: PipelineId,
    pub stage: StageId,
}

/// Removes a stage in which there was never an opportunity.
#[derive(Clone, Debug)]
pub struct RemoveStage {
    pub pipeline: PipelineId,
    pub stage: StageId,
}

impl Command for CreatePipeline {
    const PERMISSION: &'static str = "crm:pipeline:write";
    type Answer = PipelineIds;

    async fn run(&self, work: &mut Work<'_>) -> Result<PipelineIds, Refusal> {
        let mut checks = Checks::default();
        let name = checks.line("/name", &self.name, values::NAME);
        let stages: Vec<_> = self
            .stages
            .iter()
            .enumerate()
            .map(|(index, stage)| stage.check(&mut checks, &format!("/stages/{index}"), work.new_id()))
            .collect();
        checks.finish()?;
        let ids = PipelineIds { pipeline: work.new_id(), stages: stages.iter().map(|stage| stage.id).collect() };
        work.take(&NAME, &name.to_lowercase(), ids.pipeline);
        work.create::<Pipeline>(ids.pipeline, PipelineCommand::Create { name, stages })?;
        Ok(ids)
    }
}

impl Command for RenamePipeline {
    const PERMISSION: &'static str = "crm:pipeline:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let mut checks = Checks::default();
        let name = checks.line("/name", &self.name, values::NAME);
        checks.finish()?;
        let before = work.read::<Pipeline>(self.pipeline).await?.name.to_lowercase();
        let after = name.to_lowercase();
        work.update::<Pipeline>(self.pipeline, PipelineCommand::Rename { name }).await?;
        if before != after {
            work.release(&NAME, &before, self.pipeline);
            work.take(&NAME, &after, self.pipeline);
        }
        Ok(())
    }
}

impl Command for AddStage {
    const PERMISSION: &'static str = "crm:pipeline:write";
    type Answer = StageId;

    async fn run(&self, work: &mut Work<'_>) -> Result<StageId, Refusal> {
        let mut checks = Checks::default();
        let stage = self.stage.check(&mut checks, "", work.new_id());
        checks.finish()?;
        let id = stage.id;
        work.update::<Pipeline>(self.pipeline, PipelineCommand::AddStage { index: self.index, stage }).await?;
        Ok(id)
    }
}

impl Command for ChangeStage {
    const PERMISSION: &'static str = "crm:pipeline:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let mut checks = Checks::default();
        let stage = self.fields.check(&mut checks, "", self.stage);
        checks.finish()?;
        work.update::<Pipeline>(self.pipeline, PipelineCommand::ChangeStage { stage }).await
    }
}

impl Command for ReorderStages {
    const PERMISSION: &'static str = "crm:pipeline:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        work.update::<Pipeline>(self.pipeline, PipelineCommand::Reorder { order: self.order.clone() }).await
    }
}

impl Command for RetireStage {
    const PERMISSION: &'static str = "crm:pipeline:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let before = work.read::<Pipeline>(self.pipeline).await?;
        work.update::<Pipeline>(self.pipeline, PipelineCommand::RetireStage { stage: self.stage }).await?;
        if !before.retired.contains(&self.stage) {
            close(work, self.stage, self.pipeline);
        }
        Ok(())
    }
}

impl Command for ReactivateStage {
    const PERMISSION: &'static str = "crm:pipeline:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let before = work.read::<Pipeline>(self.pipeline).await?;
        work.update::<Pipeline>(self.pipeline, PipelineCommand::ReactivateStage { stage: self.stage }).await?;
        if before.retired.contains(&self.stage) {
            reopen(work, self.stage, self.pipeline);
        }
        Ok(())
    }
}

impl Command for RemoveStage {
    const PERMISSION: &'static str = "crm:pipeline:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        work.update::<Pipeline>(self.pipeline, PipelineCommand::RemoveStage { stage: self.stage }).await?;
        require_unused(work, self.stage, self.pipeline);
        close(work, self.stage, self.pipeline);
        Ok(())
    }
}
