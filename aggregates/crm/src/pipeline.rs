//! Pipeline: the ordered stages through which opportunities move.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::StageId;

mod life;

pub use life::{MAX_STAGES, Pipeline, PipelineCommand, PipelineError};

kernel::events! {
    /// The events of a pipeline.
    pub enum PipelineEvent of "crm.pipeline" {
        /// A pipeline was created.
        PipelineCreated = "crm.pipeline.created" @ 1 {
            /// Its name, unique in the tenant.
            pub name: String,
            /// Its stages, in order. At least one.
            pub stages: Vec<Stage>,
        },
        /// The pipeline was renamed.
        PipelineRenamed = "crm.pipeline.renamed" @ 1 {
            /// Its new name, unique in the tenant.
            pub name: String,
        },
        /// A stage was added at the position `index`; 0 is the first.
        PipelineStageAdded = "crm.pipeline.stage_added" @ 1 {
            /// The position of the stage; 0 is the first.
            pub index: u32,
            pub stage: Stage,
        },
        /// A stage's name, probability or `rotten_after_days` changed.
        PipelineStageChanged = "crm.pipeline.stage_changed" @ 1 { pub stage: Stage },
        /// The stages were reordered. The event lists all of them in their new order.
        PipelineStagesReordered = "crm.pipeline.stages_reordered" @ 1 {
            /// The ids of all stages, each once, in their new order.
            pub order: Vec<StageId>,
        },
        /// A stage was retired: no deal can move into it any more. Deals that are in it stay.
        PipelineStageRetired = "crm.pipeline.stage_retired" @ 1 { pub stage: StageId },
        /// A retired stage was reactivated: deals can move into it again.
        PipelineStageReactivated = "crm.pipeline.stage_reactivated" @ 1 { pub stage: StageId },
        /// A stage was removed. No opportunity was ever in it.
        PipelineStageRemoved = "crm.pipeline.stage_removed" @ 1 { pub stage: StageId },
    }
}

/// A stage of a pipeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Stage {
    pub id: StageId,
    /// Its name, unique in the pipeline.
    pub name: String,
    /// Probability that a deal in this stage is won, in per cent: 0 to 100.
    pub probability: u8,
    /// After this number of days without a change, a deal in this stage counts as rotten. If absent, deals never do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotten_after_days: Option<u16>,
}
