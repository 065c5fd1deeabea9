//! What can be asked of a pipeline.

use crm_aggregates::{PipelineId, StageId};
use serde::{Deserialize, Serialize};

/// What a stage is, as sent; checked when the command runs.
#[derive(Clone, Debug, Default)]
pub struct StageFields {
    /// Unique in its pipeline.
    pub name: String,
    /// 0 to 100 per cent.
    pub probability: u8,
    /// 1 to 3650; none: never rotten.
    pub rotten_after_days: Option<u16>,
}

/// Sets a pipeline up.
#[derive(Clone, Debug, Default)]
pub struct CreatePipeline {
    /// Unique in the tenant.
    pub name: String,
    /// In order; 1 to 50.
    pub stages: Vec<StageFields>,
}

/// The identifiers of a new pipeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelineIds {
    pub pipeline: PipelineId,
    /// In the order of the stages.
    pub stages: Vec<StageId>,
}

/// Gives it another name.
#[derive(Clone, Debug)]
pub struct RenamePipeline {
    pub pipeline: PipelineId,
    pub name: String,
}

/// Puts a stage in.
#[derive(Clone, Debug)]
pub struct AddStage {
    pub pipeline: PipelineId,
    /// Where; 0: first; none: last.
    pub index: Option<u32>,
    pub stage: StageFields,
}

/// Changes a stage's name, probability and patience.
#[derive(Clone, Debug)]
pub struct ChangeStage {
    pub pipeline: PipelineId,
    pub stage: StageId,
    pub fields: StageFields,
}

/// Puts the stages in another order: all of them, each once.
#[derive(Clone, Debug)]
pub struct ReorderStages {
    pub pipeline: PipelineId,
    pub order: Vec<StageId>,
}

/// Lets nothing move into a stage any more; what is in it stays.
#[derive(Clone, Debug)]
pub struct RetireStage {
    pub pipeline: PipelineId,
    pub stage: StageId,
}

/// Takes a stage away that no opportunity was ever in.
#[derive(Clone, Debug)]
pub struct RemoveStage {
    pub pipeline: PipelineId,
    pub stage: StageId,
}
crate::pending! {
    CreatePipeline: PipelineIds, "crm:pipeline:write";
    RenamePipeline: (), "crm:pipeline:write";
    AddStage: StageId, "crm:pipeline:write";
    ChangeStage: (), "crm:pipeline:write";
    ReorderStages: (), "crm:pipeline:write";
    RetireStage: (), "crm:pipeline:write";
    RemoveStage: (), "crm:pipeline:write";
}
