//! Pipeline: the ordered stages that opportunities go through.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::StageId;

mod rules;

pub use rules::{MAX_STAGES, Pipeline, PipelineCommand, PipelineError};

kernel::events! {
    /// What can happen to a pipeline.
    pub enum PipelineEvent of "crm.pipeline" {
        /// A pipeline was set up.
        PipelineCreated = "crm.pipeline.created" @ 1 {
            /// Unique in the tenant.
            pub name: String,
            /// In order; at least one.
            pub stages: Vec<Stage>,
        },
        /// It was renamed.
        PipelineRenamed = "crm.pipeline.renamed" @ 1 { pub name: String },
        /// A stage was put in at `index` (0: first).
        PipelineStageAdded = "crm.pipeline.stage_added" @ 1 { pub index: u32, pub stage: Stage },
        /// A stage's name, probability or patience changed.
        PipelineStageChanged = "crm.pipeline.stage_changed" @ 1 { pub stage: Stage },
        /// The stages stand in another order: all of them, each once.
        PipelineStagesReordered = "crm.pipeline.stages_reordered" @ 1 { pub order: Vec<StageId> },
        /// Nothing moves into this stage any more; what is in it stays.
        PipelineStageRetired = "crm.pipeline.stage_retired" @ 1 { pub stage: StageId },
        /// A stage that no opportunity was ever in is gone.
        PipelineStageRemoved = "crm.pipeline.stage_removed" @ 1 { pub stage: StageId },
    }
}

/// A stage of a pipeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Stage {
    pub id: StageId,
    /// Unique in its pipeline.
    pub name: String,
    /// How likely a deal in this stage is won: 0 to 100 per cent.
    pub probability: u8,
    /// After so many days without a change a deal in this stage is rotten; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotten_after_days: Option<u16>,
}
