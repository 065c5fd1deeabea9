//! The row of a pipeline.

use crm_aggregates::Stage;
use serde::{Deserialize, Serialize};
use sqlx::types::Json;
use uuid::Uuid;

use folding::version_table;

version_table! {
    /// A version of a pipeline.
    pub struct PipelineRow in "pipeline_history" key ("tenant_id", "pipeline_id", "version") {
        pub tenant_id: Uuid = "uuid",
        pub pipeline_id: Uuid = "uuid",
        pub version: i64 = "bigint",
        pub name: String = "text",
        /// The stages in their order.
        pub stages: Json<Vec<StageView>> = "jsonb",
    }
}

/// A stage of a pipeline, and whether it is retired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageView {
    /// Id, name, probability, and the days after which deals rot.
    #[serde(flatten)]
    pub stage: Stage,
    /// Whether deals can no longer be moved into the stage.
    #[serde(default)]
    pub retired: bool,
}

impl PipelineRow {
    /// The stage with this id.
    pub fn stage(&self, id: Uuid) -> Option<&StageView> {
        self.stages.0.iter().find(|view| view.stage.id.uuid() == id)
    }
}
